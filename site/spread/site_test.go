package spread

import (
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/site/artifact"
)

// TestSiteSeesItsAgents: a command finds all agents by the registry, sees their states, brings a plan to all of them,
// finds it again as the latest, and reads the history.
func TestSiteSeesItsAgents(t *testing.T) {
	s := newSite(t)
	a, b := s.host("a"), s.host("b", func(h *host) { h.zone = "hall-3" })
	look := s.looker()
	eventually(t, "both agents are listed", func() bool { return len(look.listed()) == 2 })
	list, err := look.Statuses(t.Context())
	must(t, err)
	if len(list) != 2 || list[0].Host != "a" || list[1].Zone != "hall-3" {
		t.Fatalf("%+v", list)
	}
	for _, h := range list {
		if h.Err != nil || h.Status.Cluster != "site" || h.Status.Host != h.Host || h.Status.Platform == "" ||
			h.Status.StoreFree == 0 {
			t.Errorf("%s: %v, %+v", h.Host, h.Err, h.Status)
		}
	}
	first, second := s.plan(1, operator, nil), s.plan(7, operator, nil)
	for _, p := range []struct {
		number int64
	}{{1}, {7}} {
		offered := first
		if p.number == 7 {
			offered = second
		}
		results, err := look.Offer(t.Context(), offered)
		must(t, err)
		for _, r := range results {
			if r.Err != nil {
				t.Errorf("offer plan %d to %s: %v", p.number, r.Host, r.Err)
			}
		}
	}
	if a.number() != 7 || b.number() != 7 {
		t.Errorf("a obeys plan %d and b %d", a.number(), b.number())
	}
	latest, err := look.Latest(t.Context(), nil)
	must(t, err)
	if latest.Plan.Number != 7 || string(latest.Plan.Text) != string(second.Text) || latest.Hosts["a"] != 7 ||
		len(latest.Conflicts) > 0 || latest.Plan.By != "wang" {
		t.Errorf("%+v", latest)
	}
	history, err := look.History(t.Context(), "b", 7)
	must(t, err)
	if len(history) != 1 || history[0].Number != 1 || string(history[0].Signature) != string(first.Signature) {
		t.Errorf("%+v", history)
	}
	if _, err := look.History(t.Context(), "c", 0); err == nil || !strings.Contains(err.Error(), "listed") {
		t.Errorf("history of a host without an agent: %v", err)
	}
	if _, err := look.Log(t.Context(), "a", "auth/v1#1", -1, 10, 0); err == nil ||
		!strings.Contains(err.Error(), "no instance") {
		t.Errorf("log of an instance that is none: %v", err)
	}
}

// TestStrangersMayAskNothing: a process without the site's key gets no answer of any method.
func TestStrangersMayAskNothing(t *testing.T) {
	s := newSite(t)
	h := s.host("a")
	d := h.make("auth", builder, 100)
	look := s.looker()
	eventually(t, "the agent is listed", func() bool { return len(look.listed()) == 1 })
	addr := look.listed()[0].Addr
	at := rpc.Static(&rpc.Endpoint{ID: addr, Service: Service, Addr: addr})
	c, err := rpc.NewClient(rpc.ClientConfig{Resolver: at})
	must(t, err)
	defer c.Close()
	client, err := c.Service(Service, rpc.ServiceOptions{Timeout: patience})
	must(t, err)
	to := agentwire.NewAgentClient(client)
	ctx := t.Context()
	p := s.plan(3, operator, nil)
	for method, err := range map[string]error{
		"status":     second(to.Status(ctx)),
		"plan":       second(to.Plan(ctx, 0)),
		"offer":      to.Offer(ctx, &agentwire.SignedPlan{Number: 3, Document: p.Text, Signature: p.Signature}),
		"history":    second(to.History(ctx, 0)),
		"have":       second(to.Have(ctx, []string{string(d)})),
		"holdings":   second(to.Holdings(ctx, []string{string(d)})),
		"signatures": second(to.Signatures(ctx, string(d))),
		"piece":      second(to.Piece(ctx, string(d), 0, 10)),
		"log":        second(to.Log(ctx, "auth/v1#1", -1, 10, 0)),
	} {
		if rpc.CodeOf(err) != rpc.NotMember {
			t.Errorf("a stranger asks for %s: %v", method, err)
		}
	}
	if h.number() != 0 {
		t.Error("a stranger has brought a plan")
	}
}

func second[T any](_ T, err error) error { return err }

// TestMembersMayNotCommand: of what a process of the site brings, a host obeys only plans that a key of its operators
// has signed for its cluster with a higher number. Neither the site's key nor a builder's is one of them.
func TestMembersMayNotCommand(t *testing.T) {
	s := newSite(t)
	h := s.host("a")
	look := s.looker()
	eventually(t, "the agent is listed", func() bool { return len(look.listed()) == 1 })
	offer := func(p func() (text, signature []byte)) error {
		text, signature := p()
		plan := s.plan(1, operator, nil)
		plan.Text, plan.Signature = text, signature
		return look.offer(t.Context(), look.listed(), plan)[0]
	}
	good := s.plan(5, operator, nil)
	must(t, look.offer(t.Context(), look.listed(), good)[0])
	for what, c := range map[string]struct {
		text, signature []byte
		says            string
	}{
		"a builder's key":     {s.plan(6, builder, nil).Text, s.plan(6, builder, nil).Signature, "may not sign"},
		"a stranger's key":    {s.plan(6, stranger, nil).Text, s.plan(6, stranger, nil).Signature, "may not sign"},
		"another text":        {s.plan(6, operator, nil).Text, good.Signature, "signature"},
		"no signature":        {s.plan(6, operator, nil).Text, nil, "signature"},
		"a lower number":      {s.plan(4, operator, nil).Text, s.plan(4, operator, nil).Signature, "higher number"},
		"no plan":             {nil, nil, "signature"},
		"a plan of megabytes": {make([]byte, 2<<20), nil, "limit"},
	} {
		err := offer(func() (text, signature []byte) { return c.text, c.signature })
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := s.signed(6, operator, "plan: 6\ncluster: elsewhere\n")
	err := look.offer(t.Context(), look.listed(), other)[0]
	if err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("a plan of another cluster: %v", err)
	}
	if h.number() != 5 {
		t.Errorf("the host obeys plan %d", h.number())
	}
	must(t, look.offer(t.Context(), look.listed(), good)[0]) // what is obeyed already is no fault
}

// TestPieces: pieces are bounded, and of blobs of the store only.
func TestPieces(t *testing.T) {
	s := newSite(t)
	h := s.host("a")
	d := h.make("auth", builder, 100)
	server := newServer(h.agent, artifact.NewFetcher(h.agent.Store()), 0)
	if sizes, err := server.Have(t.Context(), []string{string(d), "sha256:00", "../../../etc/passwd"}); err != nil ||
		len(sizes) != 1 || sizes[string(d)] < 100 {
		t.Errorf("%v, %v", sizes, err)
	}
	for what, c := range map[string]struct {
		digest string
		offset int64
		length int32
	}{
		"a path":                {"../../a/plan.json", 0, 10},
		"no digest":             {"", 0, 10},
		"a blob that is not":    {"sha256:" + strings.Repeat("0", 64), 0, 10},
		"nothing":               {string(d), 0, 0},
		"less than nothing":     {string(d), 0, -1},
		"from before the blob":  {string(d), -1, 10},
		"behind the blob":       {string(d), 1 << 40, 10},
		"beyond its end":        {string(d), 10, artifact.PieceSize},
		"too much":              {string(d), 0, artifact.PieceSize + 1},
		"what overflows a size": {string(d), 1<<63 - 1, 10},
	} {
		if content, err := server.Piece(t.Context(), c.digest, c.offset, c.length); err == nil {
			t.Errorf("%s: %d bytes", what, len(content))
		}
	}
}
