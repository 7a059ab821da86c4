package yamlfile

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// None is the duration "none". The zero value means the default.
const None = time.Duration(-1)

// SetScalar reads text into a string, number, bool or duration. unit is the
// unit tag of its field.
func SetScalar(v reflect.Value, text, unit string) error {
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("want true or false, got %q", text)
		}
		v.SetBool(b)
	case v.Type() == reflect.TypeFor[time.Duration]():
		t, err := parseDuration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(t))
	case unit == "bytes":
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		if v.OverflowInt(n) {
			return fmt.Errorf("%s is more than a process of this system can hold", text)
		}
		v.SetInt(n)
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("want a whole number, got %q", text)
		}
		v.SetInt(n)
	default:
		panic("yamlfile: a field of kind " + v.Kind().String())
	}
	return nil
}

// parseDuration reads "30s". It refuses a bare number, because its unit would be a guess.
func parseDuration(text string) (time.Duration, error) {
	if text == "none" {
		return None, nil
	}
	t, err := time.ParseDuration(text)
	if err == nil && t > 0 {
		return t, nil
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 {
		return 0, fmt.Errorf("%s has no unit; write \"%ss\" for seconds or \"%sms\" for milliseconds", text, text, text)
	}
	return 0, fmt.Errorf("want a duration above zero such as \"30s\", \"3m\" or \"500ms\", got %q", text)
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// parseSize reads "16MiB". "none" is -1, which is out of range for most keys.
func parseSize(text string) (int64, error) {
	if text == "none" {
		return int64(None), nil
	}
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err == nil && n > 0 && n <= (1<<40)/u.bytes {
			return n * u.bytes, nil
		}
		break
	}
	return 0, fmt.Errorf("want a size such as 64KiB, 16MiB or a number of bytes, got %q", text)
}
