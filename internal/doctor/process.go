package doctor

import (
	"runtime"
	"runtime/metrics"
)

// crowded is the part of a limit, in percent, from which its use is a problem.
const crowded = 90

// Process reports what the process uses: memory, goroutines, open files of its limit, and connections of theirs.
func Process(release string, connections, maxConnections int) []Finding {
	l := List{Area: "Process"}
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	used := uint64(0)
	if heap[0].Value.Kind() == metrics.KindUint64 {
		used = heap[0].Value.Uint64()
	}
	l.Fine("skerry %s, %s, %s of heap, %d goroutines", release, runtime.Version(), size(used),
		runtime.NumGoroutine())
	if open, most, known := openFiles(); known {
		l.use(open, most, "open files", "raise the limit of the service (LimitNOFILE of its unit), and find out what "+
			"holds them: a process without a free one can't be called")
	}
	if maxConnections > 0 {
		l.use(connections, maxConnections, "connections (limits.conns)", "raise limits.conns, and find out which "+
			"callers hold them: further ones are refused")
	}
	return l.All
}

// use reports how much of a limit is used.
func (l *List) use(n, most int, of, do string) {
	if n*100 >= most*crowded {
		l.Problem(quoted(do), "%d of %d %s are in use", n, most, of)
		return
	}
	l.Fine("%d of %d %s are in use", n, most, of)
}
