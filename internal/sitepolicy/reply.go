package sitepolicy

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/skerry/skerry/policy"
)

// ReplyID names the reply of a fallback in policylog.Entry.Replies. It changes with the service, the methods and the
// reply, so that bytes never stand for another reply than the text's.
func ReplyID(i *policy.Item) string {
	sum := sha256.Sum256([]byte(i.Service + "\x00" + strings.Join(i.Match.Method, ",") + "\x00" + string(i.Reply)))
	return hex.EncodeToString(sum[:8])
}

// EachFallback calls f for each fallback of a policy that is not in use yet, those of plans too.
func EachFallback(p *policy.Policy, f func(*policy.Item)) {
	each := func(services map[string]*policy.Service) {
		for _, s := range services {
			for n := range s.Items {
				if s.Items[n].Kind == "fallback" {
					f(&s.Items[n])
				}
			}
		}
	}
	each(p.Services)
	for _, plan := range p.Plans {
		each(plan.Services)
	}
}
