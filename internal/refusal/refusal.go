package refusal

import "strings"

// Kinds, as written in packets and JSON.
const (
	Outsiders     = "outsiders"
	InTheClear    = "in_the_clear"
	Handshakes    = "bad_handshakes"
	MadeRoom      = "made_room"
	Connections   = "bad_connections"
	Older         = "older"
	LANKey        = "lan_wrong_key"
	LANKeyless    = "lan_keyless"
	LANOwnName    = "lan_own_name"
	LANGoodbye    = "lan_false_goodbye"
	LANReplay     = "lan_replay"
	LANSequence   = "lan_sequence"
	LANFull       = "lan_full"
	LANRate       = "lan_rate"
	LANUnproven   = "lan_unproven"
	LANForeign    = "lan_foreign"
	LANMalformed  = "lan_malformed"
	LANVersion    = "lan_version"
	LANOld        = "lan_old"
	LANElsewhere  = "lan_elsewhere"
	LANCut        = "lan_cut"
	LANNotFetched = "lan_not_fetched"

	// DeniedPrefix stands before the name of a method of skerry.internal.
	DeniedPrefix = "denied_"
)

// Kind is one kind of refusals.
type Kind struct {
	Name string
	What string // text behind the number: 12 calls for members …
	Do   string
}

const (
	oneRelease = "bring all hosts to one release of skerry"
	whoSends   = "find out what sends there: the log of that process names the address"
)

// kinds begins with those that may mean an attack.
var kinds = []Kind{
	{Outsiders, "calls for members of the site came from programs without its key",
		"store the site's key on that host (skerry key set), or find out what calls: the log names the address"},
	{InTheClear, "users' calls came in the clear, and site.calls is sealed",
		"set site.calls at the caller, too, or give it the site's key; for stock clients set site.calls: prefer here"},
	{Handshakes, "TLS handshakes have failed",
		"compare the site's keys (skerry key ls) and the certificates of both hosts; the log names the " +
			"address and why"},
	{MadeRoom, "silent connections were closed to make room for others",
		"find out what opens so many connections: the log names the address; or raise limits.connections"},
	{
		Connections,
		"connections were closed for what came on them",
		"find out what speaks there: the log names the address",
	},
	{LANKey, "LAN packets of this cluster have another key",
		"compare the fingerprints of all hosts (skerry key ls); when all have the same: " + whoSends},
	{LANOwnName, "LAN packets bear the name of the process and are not its own",
		"find the sender, then rotate the key (skerry key rotate)"},
	{LANGoodbye, "goodbyes named processes that stay", "find the sender: it holds the key of the site"},
	{LANReplay, "LAN packets had been seen before", "nothing, if it stays at a few; else " + whoSends},
	{LANSequence, "LAN packets had a number far ahead of their sender's last one",
		"nothing, if it stays at one for each restart; else " + whoSends},
	{LANFull, "senders on the LAN found no place: too many of one address, or in all", whoSends},
	{
		LANRate,
		"LAN packets or questions came faster than they are dealt with",
		"nothing, unless it grows all the time; then " + whoSends,
	},
	{LANUnproven, "announcements came from senders that did not answer when asked",
		"check that unicast UDP passes between the hosts both ways"},
	{LANMalformed, "LAN packets were not skerry's", "find out what else uses the port"},
	{LANForeign, "LAN packets of other clusters share the port",
		"nothing, if that is meant; else compare the cluster names"},
	{LANVersion, "LAN packets have a version that the process does not know", oneRelease},
	{LANOld, "LAN packets came from processes of skerry before 0.2", oneRelease},
	{Older, "calls came from processes of skerry before 0.2", oneRelease},
	{LANKeyless, "LAN packets came from processes of the same host that have no key of the site",
		"nothing while the database that holds the key is away; else let the user of that process read it " +
			"(skerry key ls)"},
	{LANElsewhere, "LAN packets came in on interfaces that were not chosen",
		"add their interface to lan.interfaces if it should count"},
	{LANCut, "LAN answers were cut, as the address that asked had not answered yet",
		"nothing, unless it grows fast; then " + whoSends},
	{LANNotFetched, "lists that others announce could not be fetched",
		"check that the TCP ports of the other hosts can be reached from there"},
}

// All lists the known kinds. Those that may mean an attack are first.
func All() []Kind { return kinds }

// Of describes a kind by its name.
func Of(name string) Kind {
	for _, k := range kinds {
		if k.Name == name {
			return k
		}
	}
	if method, ok := strings.CutPrefix(name, DeniedPrefix); ok {
		return Kind{name, "calls of " + method + " proved nothing",
			"find the caller: the log of that process names its address and the reason; then skerry operator ls and " +
				"key ls there"}
	}
	return Kind{
		name,
		"refusals of this kind, which this release of skerry does not know",
		"bring this command to the release of that process, or read its log",
	}
}

// Rank orders kinds for display: a kind with a smaller rank is shown earlier.
func Rank(name string) int {
	for i, k := range kinds {
		if k.Name == name {
			return i
		}
	}
	if strings.HasPrefix(name, DeniedPrefix) {
		return -1
	}
	return len(kinds)
}
