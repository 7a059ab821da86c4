//go:build linux

package attack

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// orderRefused fails the test unless an order was refused for one of the reasons.
func orderRefused(t *testing.T, what string, err error, codes ...string) {
	t.Helper()
	r, ok := errors.AsType[*wire.OrderRefused](err)
	if !ok || !strings.Contains(" "+strings.Join(codes, " ")+" ", " "+r.Code+" ") {
		t.Errorf("%s: %v, want a refusal by one of %v", what, err, codes)
	}
}

func mustText(t *testing.T, p rollout.Proof) []byte {
	t.Helper()
	text, err := json.Marshal(p)
	must(t, err)
	return text
}

// ordersToDrain: a member without an operator's key forges orders to drain, to leave and to forget, and
// brings orders of an operator again, elsewhere, altered, and in another use. The service that they name
// at the consumer is desk, so that the site's calls show whether another one was hit.
func ordersToDrain(t *testing.T, s *site) {
	i, ctx := s.member(t), t.Context()
	c := i.internal(t, s.addr("consumer"))
	id, err := c.WhoAmI(ctx)
	must(t, err)
	ofProvider, err := i.internal(t, s.addr("provider")).WhoAmI(ctx)
	must(t, err)
	name := func(o *wire.Owner) string {
		return registry.Owner{Host: o.Host, PID: int(o.Pid), Epoch: o.Epoch}.String()
	}
	self, provider := name(id.Owner), name(ofProvider.Owner)
	now, err := c.Drains(ctx)
	must(t, err)
	next := now.Number + 1
	honest := drain.Order{Verb: drain.Begin, Cluster: s.cluster, To: self, Number: next, By: "li"}
	proof := func(o operator, text string) rollout.Proof { return o.sign(t, drain.Purpose, text) }
	obey := func(o drain.Order, p rollout.Proof) error {
		_, err := c.Obey(ctx, []byte(o.Text()), mustText(t, p))
		return err
	}
	with := func(change func(*drain.Order)) drain.Order {
		o := honest
		change(&o)
		return o
	}
	leave := with(func(o *drain.Order) { o.Verb = drain.Leave })
	if s.operators() {
		mallory := newOperator(t, "mallory")
		for what, p := range map[string]rollout.Proof{
			"without proof":     {},
			"by another key":    proof(mallory, honest.Text()),
			"of a release":      s.li.sign(t, rollout.ForRelease, honest.Text()),
			"of a promise":      s.li.sign(t, rollout.ForPromise, honest.Text()),
			"of another order":  proof(s.li, leave.Text()),
			"by the site's key": {Kind: rollout.SiteProof, Signature: make([]byte, 32)},
		} {
			orderRefused(t, "drain "+what, obey(honest, p), "unproven")
		}
		orderRefused(t, "leave without proof", obey(leave, rollout.Proof{}), "unproven")
		orderRefused(t, "forget without proof", obey(with(func(o *drain.Order) {
			o.Verb, o.Process = drain.Forget, "ghost/1/abc"
		}), rollout.Proof{}), "unproven")
	}
	for what, o := range map[string]drain.Order{
		"of another cluster":    with(func(o *drain.Order) { o.Cluster = "elsewhere" }),
		"for another process":   with(func(o *drain.Order) { o.To = provider }),
		"for its last run":      with(func(o *drain.Order) { o.To = self[:strings.LastIndexByte(self, '/')] + "/abc" }),
		"with a number ahead":   with(func(o *drain.Order) { o.Number++ }),
		"with a number far off": with(func(o *drain.Order) { o.Number = 1<<62 - 1 }),
		"of what is not there": with(func(o *drain.Order) {
			o.Instances = []drain.Instance{{Service: "auth", Version: "v1", Addr: s.addr("provider")}}
		}),
		"to forget the living": with(func(o *drain.Order) { o.Verb, o.Process = drain.Forget, provider }),
		"without end":          with(func(o *drain.Order) { o.ForMS = 1 << 60 }),
		"for a reason without end": with(func(o *drain.Order) {
			o.Why = strings.Repeat("x", 1000)
		}),
	} {
		err := obey(o, proof(s.li, o.Text()))
		orderRefused(t, "an order "+what, err, "foreign", "stale", "absent", "alive", "order")
	}
	if now, err := c.Drains(ctx); err != nil || now.Number != next-1 || len(now.Drains) > 0 {
		t.Errorf("after false orders: %+v, %v", now, err)
	}

	undo := with(func(o *drain.Order) { o.Verb, o.Number = drain.Undo, next+1 })
	begin := proof(s.li, honest.Text())
	must(t, obey(honest, begin)) // the control
	orderRefused(t, "the order again", obey(honest, begin), "stale")
	_, err = i.internal(t, s.addr("provider")).Obey(ctx, []byte(honest.Text()), mustText(t, begin))
	orderRefused(t, "the order elsewhere", err, "foreign")
	if now, err := c.Drains(ctx); err != nil || now.Number != next || len(now.Drains) != 1 || now.Drains[0].By != "li" {
		t.Errorf("after an order: %+v, %v", now, err)
	}
	end := proof(s.mo, undo.Text())
	must(t, obey(undo, end))
	orderRefused(t, "the first order again", obey(honest, begin), "stale")
	orderRefused(t, "the second order again", obey(undo, end), "stale")
	if now, err := c.Drains(ctx); err != nil || now.Number != next+1 || len(now.Drains) > 0 {
		t.Errorf("after the end: %+v, %v", now, err)
	}
	if i.laptop == s.laptop() {
		s.consumer.says(t, 3, "was refused", "what=obey", s.lan.Host(laptopHost).IP(0))
	}
}
