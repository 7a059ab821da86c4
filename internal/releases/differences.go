package releases

import (
	"fmt"
	"strings"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Difference is a contradiction between the log and the site, with its remedy.
type Difference struct {
	What string `json:"what"`
	Mend string `json:"mend"`
	Self bool   `json:"refresh"` // refresh mends it
}

// AdoptPlan describes what adopt will do.
func AdoptPlan(s Site, keep string) []string {
	plan := []string{"begin a new timeline of generations"}
	if len(s.Branches) < 2 {
		return append([]string{"write the steps back that the processes have carried out and the database lacks"},
			plan...)
	}
	for _, l := range s.Branches {
		verb := "end the log "
		if keep != "" && (strings.HasPrefix(l.Tip.Hash, keep) || l.Tip.Generation.String() == keep) {
			verb = "go on with the log "
		}
		plan = append(plan, verb+lineText(l))
	}
	return append(plan, "refuse what remains of requests that have begun by a log that ends")
}

// lineText describes a log of the site in a few words.
func lineText(l operator.Branch) string {
	text := l.Tip.String()
	if n := len(l.Entries); n > 0 {
		text += fmt.Sprintf(", last step %q by %s", l.Entries[n-1].Step, l.Entries[n-1].By)
	}
	text += fmt.Sprintf(", of %d processes", len(l.Members))
	if l.Stored {
		text += " and the database"
	}
	return text
}

// Unvouched reports whether neither an entry nor any later one is signed by a trusted key.
func (s Site) Unvouched(i int) bool {
	for ; i < len(s.Signers); i++ {
		if s.Signers[i].Err == nil {
			return false
		}
	}
	return true
}

// Differences compares the log with the state of the site.
func Differences(s Site) ([]Difference, error) {
	log, err := s.Log()
	if err != nil {
		return nil, err
	}
	var list []Difference
	add := func(self bool, mend, format string, args ...any) {
		list = append(list, Difference{fmt.Sprintf(format, args...), mend, self})
	}
	switch {
	case s.restored():
		add(false, s.Adopting(), "nothing can be committed: %s", s.Frozen)
		for _, l := range s.Branches {
			add(false, "skerry release adopt --keep "+l.Tip.Hash[:12]+" goes on with it",
				"the log has forked; one is %s", lineText(l))
		}
	case s.tooOld():
		add(false, "upgrade skerry on this host", "nothing can be committed from here: %s", s.Frozen)
	case s.Frozen != "":
		add(false, "bring it back; until then requests go on and releases wait",
			"nothing can be committed: %s", s.Frozen)
	}
	r, open := s.Newest()
	if !open {
		r = rollout.Release{}
	}
	for _, service := range servicesOf(s, log) {
		for _, v := range versionsOf(s, log, r, service) {
			name := Title(v.Service, v.Version)
			switch {
			case v.Instances == 0 && (v.Role == "live" || v.Role == "new" || v.Role == "preview"):
				add(false, "start instances of it", "%s is %s, and no instance of it is up", name, v.Role)
			case v.Instances == 0 && v.Role == "backup":
				add(false, "start instances of it, or clean: skerry release clean",
					"%s is the backup, and no instance of it is up: a rollback would fail", name)
			case v.Instances > 0 && v.Role == "retired":
				add(false, "stop these processes", "%s is retired, and %s listed: they refuse every call", name,
					CountAre(v.Instances))
			case v.Instances > 0 && v.Role == "any":
				add(false, "leave one version running, or release the other: skerry release start",
					"%s runs beside other versions and no rule says which requests meet which: a request may meet both",
					name)
			case v.Instances > 0 && v.Role == "unshipped":
				add(false, "skerry release ship "+v.Service+" --version "+v.Version+", or stop these processes",
					"%s is not shipped, and %s listed: they get no calls", name, CountAre(v.Instances))
			case v.Instances > 0 && v.Role == "unreleased":
				add(false, "ship it in a release, or stop these processes",
					"%s is in no release, and %s listed: they get no calls", name, CountAre(v.Instances))
			}
		}
	}
	for _, e := range s.Pending {
		add(true, "skerry release refresh, or refresh --discard to give it up",
			"generation %v (%s, by %s) was promised and is not committed: its command runs, or was cut off",
			e.Generation, e.Step, e.By)
	}
	for _, p := range s.processes() {
		switch s.stateOf(p, log) {
		case "too old":
			add(false, "upgrade skerry there, and start it again",
				"%s goes by generation %v and can't obey the next one, which needs %q", p.Name, p.Applied, p.Lacks)
		case "behind":
			add(true, "skerry release refresh", "%s goes by generation %v, the newest is %v",
				p.Name, p.Applied, log.Last())
		case "forked":
			mend := "stop it, remove its state directory, and start it again"
			if s.restored() { // the log of this process may be the one to keep
				mend = s.Adopting()
			}
			add(false, mend, "%s goes by rules that contradict the log", p.Name)
		case "silent":
			why := ""
			if p.Why != "" {
				why = " (" + p.Why + ")"
			}
			add(false, "bring it back; when it is dead for certain, give the step that waits for it --dead "+p.Name,
				"%s has not answered%s%s", p.Name, Silence(p.Silent), why)
		}
	}
	return list, nil
}

// CountAre returns a number of instances with its verb.
func CountAre(n int) string {
	if n == 1 {
		return "1 instance is"
	}
	return fmt.Sprintf("%d instances are", n)
}
