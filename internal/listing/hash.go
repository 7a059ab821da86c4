package listing

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/skerry/skerry/registry"
)

// HashSize is the length of a list's hash, in bytes.
const HashSize = 16

// Hash is the same for two lists with the same content, in any order and with any age of the
// instances.
func Hash(list []registry.Instance) []byte {
	h := sha256.New()
	for _, in := range slices.SortedFunc(slices.Values(list), registry.Compare) {
		fmt.Fprintf(h, "%q %q %q %q %q %d %t %d\n", in.Service, in.Version, in.Addr(),
			cmp.Or(in.Protocol, registry.ProtocolSkerry), in.Zone, in.Weight, in.TLS, len(in.Tags))
		if in.Leaving {
			fmt.Fprintln(h, "leaving")
		}
		for _, k := range slices.Sorted(maps.Keys(in.Tags)) {
			fmt.Fprintf(h, "%q %q\n", k, in.Tags[k])
		}
	}
	return h.Sum(nil)[:HashSize]
}
