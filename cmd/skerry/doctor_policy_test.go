package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/policy/form"
)

// policyLog is a log of entries, each made on the one before. Of two with one number both follow the same.
func policyLog(t *testing.T, entries ...policylog.Entry) *policylog.Log {
	t.Helper()
	log := policylog.NewLog("x")
	for _, e := range entries {
		next := log.Next(policychange.NoPolicy)
		if e.Number > 0 && e.Number < next.Number {
			next.Number = e.Number
			next.Previous = ""
		}
		next.By, next.Confirm, next.At = e.By, e.Confirm, e.At
		sealed, err := next.Seal()
		if err != nil {
			t.Fatal(err)
		}
		if log, err = log.Merge(nil, nil, sealed); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

func TestDoctorOfThePolicy(t *testing.T) {
	one := policyLog(t, policylog.Entry{By: "li"})
	newest, _ := one.Newest()
	has := sitepolicy.Status{Number: 1, Hash: newest.Hash(), Newest: 1}
	lost := has
	lost.Lost = []form.Problem{{Key: "services.auth.limits[0]", Text: "no such key queue"}}
	none := sitepolicy.Status{Newest: 1, Obey: sitepolicy.ObeysNone, Because: "it is told"}
	waits := policyLog(t, policylog.Entry{By: "li", Confirm: time.Hour, At: time.Now()})
	late := policyLog(t, policylog.Entry{By: "li"}, policylog.Entry{By: "wang", Confirm: time.Minute,
		At: time.Now().Add(-time.Hour)})
	for _, c := range []struct {
		name  string
		state control.PolicyState
		level level
		says  string // "": nothing
	}{
		{"no policy", control.PolicyState{Log: policylog.NewLog("x")}, fine, ""},
		{"obeyed", control.PolicyState{Log: one, Processes: []control.PolicyProcess{{Process: "a", Status: has}}}, fine,
			"policy 1 of li is obeyed by 1 of 1 process that answered"},
		{"behind", control.PolicyState{Log: one, Processes: []control.PolicyProcess{{Process: "a"}}}, problem,
			"a does not obey policy 1: it does not have it yet"},
		{"not understood", control.PolicyState{Log: one,
			Processes: []control.PolicyProcess{{Process: "a", Status: lost}}}, problem, "services.auth.limits[0]"},
		{"too old", control.PolicyState{Log: one,
			Processes: []control.PolicyProcess{{Process: "a", Err: control.ErrNoPolicies}}}, problem, "upgrade it"},
		{"silent", control.PolicyState{Log: one,
			Processes: []control.PolicyProcess{{Process: "a", Err: errors.New("x")}}}, fine, ""},
		{"told to obey none", control.PolicyState{Log: one,
			Processes: []control.PolicyProcess{{Process: "a", Status: none}}}, problem,
			"a obeys no policy of the site, its access lists and limits neither: it is told"},
		{"told to obey none, without a policy", control.PolicyState{Log: policylog.NewLog("x"),
			Processes: []control.PolicyProcess{{Process: "a", Status: none}}}, problem, "a obeys no policy"},
		{"to be confirmed", control.PolicyState{Log: waits}, hint, "policy 1 of li goes back by itself"},
		{"not confirmed", control.PolicyState{Log: late}, hint, "policy 2 of wang was not confirmed, so policy 1"},
		{"lost by the database", control.PolicyState{Log: one, Lost: true}, problem,
			"the database lacks policy 1 of li"},
		{"not believed", control.PolicyState{Log: one, Doubt: errors.New("no key")}, problem,
			"not believed here: no key"},
	} {
		var f findings
		f.policy(c.state)
		if c.says == "" && len(f.list) == 0 {
			continue
		}
		if len(f.list) != 1 || f.list[0].Level != c.level || !strings.Contains(string(f.list[0].Text), c.says) {
			t.Errorf("%s: %+v", c.name, f.list)
		}
	}
}

// TestDoctorNamesOperatorsAtOnce: the change that lost is named while it is news.
func TestDoctorNamesOperatorsAtOnce(t *testing.T) {
	log := policyLog(t, policylog.Entry{By: "li"}, policylog.Entry{By: "wang", Number: 1})
	var f findings
	f.policy(control.PolicyState{Log: log})
	if len(f.list) != 1 || !strings.Contains(string(f.list[0].Text), " lost to ") {
		t.Errorf("%+v", f.list)
	}
}
