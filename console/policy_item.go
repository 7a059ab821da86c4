package console

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/policytext"
)

// itemForm is the form of an item, beside the text that it is put into.
type itemForm struct {
	Kind    string `json:"-"` // of itemKinds
	Service string `json:"-"`
	Place   string `json:"-"` // weights: zone or host
	At      string `json:"-"` // weights: its name
	Weight  string `json:"-"`
	Caller  string `json:"-"`
	Method  string `json:"-"`
	Rate    string `json:"-"`
	Pending string `json:"-"`
	Per     string `json:"-"`
	Reply   string `json:"-"`
	Verb    string `json:"-"` // access: allow or deny
	Mode    string `json:"-"` // of an access that the service does not have yet
	Default string `json:"-"`
	Expires string `json:"-"`
	Why     string `json:"-"`
	Plan    string `json:"-"` // that the item belongs to; "": it holds at once
	PlanWhy string `json:"-"`
	On      string `json:"-"` // fallback: codes of failures, or always

	Item  string `json:"-"` // key of the item that it changes; "": it adds one
	Print string `json:"-"` // of that item, as the form was filled with it
	Also  string `json:"-"` // what else that item says; it stays
}

// itemKinds are the kinds of items that the form knows.
var itemKinds = []string{"limits", "weights", "fallback", "access"}

// fieldSize is the longest value of a field, in bytes: that of a condition of a policy, several times.
const fieldSize = 2000

// itemFormOf reads the form. What it does not have has its default.
func itemFormOf(v url.Values) itemForm {
	get := func(name, byDefault string, of ...string) string {
		value := strings.TrimSpace(v.Get(name))
		if value == "" || len(value) > fieldSize || len(of) > 0 && !slices.Contains(of, value) {
			return byDefault
		}
		return value
	}
	return itemForm{Kind: get("kind", "limits", itemKinds...), Service: get("service", ""),
		Place: get("place", "host", "host", "zone"), At: get("at", ""), Weight: get("weight", ""),
		Caller: get("caller", ""), Method: get("method", ""), Rate: get("rate", ""), Pending: get("pending", ""),
		Per: get("per", "site", "site", "instance"), Reply: get("reply", ""),
		Verb: get("verb", "allow", "allow", "deny"), Mode: get("mode", "audit", "audit", "enforce"),
		Default: get("default", "deny", "deny", "allow"), Expires: get("expires", ""), Why: get("why", ""),
		Plan: get("plan", ""), PlanWhy: get("plan_why", ""), On: get("codes", "always"), Item: get("item", ""),
		Print: get("print", ""), Also: get("also", "")}
}

// item is the item of the form. The error names the field that is wrong.
func (f itemForm) item() (policytext.Item, error) {
	i := policytext.Item{Plan: f.Plan, PlanWhy: f.PlanWhy, Service: f.Service, List: f.Kind}
	if f.Service == "" {
		return i, refuse("edit.lacks-service")
	}
	values := func(key, value string) {
		i.Fields = append(i.Fields, policytext.Field{Key: key, Value: value, Values: true})
	}
	raw := func(key, value string) {
		i.Fields = append(i.Fields, policytext.Field{Key: key, Value: value, Raw: true})
	}
	numbers := func(keys ...string) error {
		for n := 0; n < len(keys); n += 2 {
			if _, err := strconv.ParseUint(keys[n+1], 10, 31); keys[n+1] != "" && err != nil {
				return refuse("edit.number", "field", keys[n], "value", short(keys[n+1], 40))
			}
		}
		return nil
	}
	if err := numbers("weight", f.Weight, "rate", f.Rate, "pending", f.Pending); err != nil {
		return i, err
	}
	switch f.Kind {
	case "weights":
		if f.At == "" || f.Weight == "" {
			return i, refuse("edit.lacks-weight")
		}
		other := "host"
		if f.Place == other {
			other = "zone"
		}
		values(f.Place, f.At)
		values(other, "")
		raw("weight", f.Weight)
	case "limits":
		if f.Rate == "" && f.Pending == "" {
			return i, refuse("edit.lacks-limit")
		}
		values("match.caller", f.Caller)
		values("match.method", f.Method)
		raw("rate", f.Rate)
		raw("pending", f.Pending)
		values("per", f.Per)
	case "fallback":
		var compact bytes.Buffer
		if f.Method == "" || json.Compact(&compact, []byte(f.Reply)) != nil {
			return i, refuse("edit.lacks-reply")
		}
		values("match.method", f.Method)
		values("match.caller", f.Caller)
		raw("on", "["+codesText(f.On)+"]")
		raw("reply", compact.String())
	case "access":
		if f.Caller == "" && f.Method == "" {
			return i, refuse("edit.lacks-caller")
		}
		i.List, i.Mode, i.Default = f.Verb, f.Mode, f.Default
		values("caller", f.Caller)
		values("method", f.Method)
	}
	if d, err := time.ParseDuration(f.Expires); f.Expires != "" && (err != nil || d <= 0) {
		return i, refuse("edit.time", "value", short(f.Expires, 40))
	}
	raw("expires", f.Expires)
	i.Fields = append(i.Fields, policytext.Field{Key: "why", Value: f.Why})
	return i, nil
}

// codesText are the texts of a list with commas between them, as YAML.
func codesText(list string) string {
	var codes []string
	for code := range strings.SplitSeq(list, ",") {
		if code = strings.TrimSpace(code); code != "" {
			codes = append(codes, policytext.Scalar(code))
		}
	}
	return strings.Join(codes, ", ")
}
