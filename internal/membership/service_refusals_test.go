package membership

import (
	"reflect"
	"slices"
	"testing"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/refusal"
	"github.com/skerry/skerry/rpc"
)

// notRefused are the counters that no refusal is counted by.
var notRefused = []string{
	"Connections", "Handshakes", "Members", "Running", "Streams", "Accepted",
	// by cause in the call statistics
	"Refused",
	// FetchFailed counts the latter's causes
	"Sent", "SendFailed", "Unsendable", "Received", "Own", "Duplicate", "Unwanted", "Undelivered",
}

// Every counter is either shown as a refusal, of a kind that is explained, or
// is none: a new one must be put into one of the two lists.
func TestEveryCounterIsShown(t *testing.T) {
	known := map[string]bool{}
	for _, k := range refusal.All() {
		if k.What == "" || k.Do == "" || known[k.Name] {
			t.Errorf("kind %q stands twice or explains nothing: %+v", k.Name, k)
		}
		known[k.Name] = true
	}
	shown := map[string]bool{}
	each := func(stats reflect.Value, kinds func() map[string]int64) {
		for i := range stats.NumField() {
			field, name := stats.Field(i), stats.Type().Field(i).Name
			switch field.Kind() {
			case reflect.Int64, reflect.Int:
				field.SetInt(1)
			case reflect.Uint64:
				field.SetUint(1)
			default:
				continue
			}
			found := ""
			for kind, n := range kinds() {
				if n > 0 {
					found, shown[kind] = kind, true
				}
			}
			if none := slices.Contains(notRefused, name); (found == "") != none || found != "" && !known[found] {
				t.Errorf("%s.%s is shown as %q; listed as no refusal: %v", stats.Type(), name, found, none)
			}
			field.SetZero()
		}
	}
	var calls rpc.ServerStats
	each(reflect.ValueOf(&calls).Elem(), func() map[string]int64 { return refusedCalls(calls) })
	var packets broadcast.Stats
	each(reflect.ValueOf(&packets).Elem(), func() map[string]int64 { return refusedPackets(packets) })
	for name := range known {
		if !shown[name] {
			t.Errorf("no counter gives %q", name)
		}
	}
}
