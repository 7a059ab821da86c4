package callpath

import "slices"

// median of an even number is the mean of the two in the middle; of nothing, 0.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}

// of is the median of something about samples.
func of(row []sample, f func(sample) float64) float64 {
	values := make([]float64, len(row))
	for i, s := range row {
		values[i] = f(s)
	}
	return median(values)
}

// ratio is the median of a/b, round by round; false without pairs.
func ratio(a, b []sample, f func(sample) float64) (float64, bool) {
	if len(a) == 0 || len(a) != len(b) {
		return 0, false
	}
	values := make([]float64, len(a))
	for i := range a {
		values[i] = f(a[i]) / f(b[i])
	}
	return median(values), true
}

// What samples are compared by.
func qps(s sample) float64          { return s.QPS }
func p50(s sample) float64          { return float64(s.P50) }
func p99(s sample) float64          { return float64(s.P99) }
func cpu(s sample) float64          { return float64(s.CPUClient + s.CPUServer) }
func cpuClient(s sample) float64    { return float64(s.CPUClient) }
func cpuServer(s sample) float64    { return float64(s.CPUServer) }
func cpuHop(s sample) float64       { return float64(s.CPUHop) }
func allocsClient(s sample) float64 { return s.AllocsClient }
func allocsServer(s sample) float64 { return s.AllocsServer }
