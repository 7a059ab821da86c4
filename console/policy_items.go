package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/policytext"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// itemOfText is an item of the text that the page edits.
type itemOfText struct {
	Key     string
	Service string
	Text    phrase
	Why     string
	Line    int
	Plan    string
	Form    bool // the form knows it
}

// shownItems bounds the list beside the text.
const shownItems = 200

// itemsOf are the items of a text, and how many are left out; none when it can't be read.
func itemsOf(text string) (list []itemOfText, left int) {
	p, _ := form.Read([]byte(text))
	if p == nil {
		return nil, 0
	}
	all := policytext.Items(p)
	left = max(0, len(all)-shownItems)
	for _, f := range all[:len(all)-left] {
		_, fits := formOfItem(f)
		list = append(list, itemOfText{Key: f.Item.Key, Service: f.Service, Text: itemText(f.Item), Why: f.Item.Why,
			Line: p.Lines[f.Item.Key], Plan: f.Plan, Form: fits})
	}
	return list, left
}

// itemOf finds an item of a text by its key.
func itemOf(text, key string) (policytext.Found, bool) {
	p, _ := form.Read([]byte(text))
	if p == nil {
		return policytext.Found{}, false
	}
	for _, f := range policytext.Items(p) {
		if f.Item.Key == key {
			return f, true
		}
	}
	return policytext.Found{}, false
}

// printOf tells items of one key apart: the text is edited by hand, too.
func printOf(i policy.Item) string {
	text, _ := json.Marshal(i)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// formOfItem fills the form with an item. It reports false for an item that says more in a field than the form can
// hold, and for kinds that the form does not know.
func formOfItem(f policytext.Found) (itemForm, bool) {
	i := f.Item
	v := itemForm{Kind: f.List, Service: f.Service, Plan: f.Plan, Why: i.Why, Item: i.Key, Print: printOf(*i),
		Place: "host", Per: "site", Verb: "allow", Mode: "audit", Default: "deny"}
	fits := true
	values := func(list []string) string {
		fits = fits && !slices.ContainsFunc(list, func(s string) bool {
			return s == "" || strings.Contains(s, ",") || s != strings.TrimSpace(s)
		})
		return strings.Join(list, ", ")
	}
	count := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	v.Caller, v.Method = values(i.Match.Caller), values(i.Match.Method)
	if i.Expires > 0 {
		v.Expires = number.Duration(i.Expires)
	}
	switch f.List {
	case "weights":
		v.At, v.Weight = values(i.To.Host), strconv.Itoa(i.Weight)
		if len(i.To.Zone) > 0 {
			v.Place, v.At = "zone", values(i.To.Zone)
		}
		fits = fits && v.At != "" && (len(i.To.Zone) == 0 || len(i.To.Host) == 0)
	case "limits":
		v.Rate, v.Pending, v.Per = count(i.Rate), count(i.Pending), i.Per
	case "fallback":
		v.Reply, v.On = string(i.Reply), values(i.On)
		fits = fits && v.Method != ""
	case "allow", "deny":
		v.Kind, v.Verb = "access", f.List
		fits = fits && v.Caller+v.Method != ""
	default:
		fits = false
	}
	return v, fits
}

// chooseItem fills the form of a page with an item of its text.
func (p *policyEditPage) chooseItem(key string) error {
	f, ok := itemOf(p.Text, key)
	if !ok {
		return refuse("edit.no-item", "key", short(key, 200))
	}
	filled, ok := formOfItem(f)
	if !ok {
		return refuse("edit.no-form", "key", key)
	}
	item, err := filled.item()
	if err != nil {
		return err
	}
	others, err := policytext.Others(p.Text, f.Place, item.Fields)
	if err != nil {
		return notDone(err)
	}
	p.Form = filled
	p.Form.Also = (policytext.Item{Fields: others}).String()
	if len(others) == 0 {
		p.Form.Also = ""
	}
	return nil
}

// replaceItem puts the item of the form in the place of the one that it was filled with.
func (p *policyEditPage) replaceItem() error {
	f, ok := itemOf(p.Text, p.Form.Item)
	if !ok || printOf(*f.Item) != p.Form.Print {
		return refuse("edit.no-item", "key", short(p.Form.Item, 200))
	}
	item, err := p.Form.item()
	if err != nil {
		return err
	}
	others, err := policytext.Others(p.Text, f.Place, item.Fields)
	if err != nil {
		return notDone(err)
	}
	item.Fields = append(item.Fields, others...)
	text := ""
	if item.Plan == f.Plan && item.Service == f.Service && item.List == f.List {
		text, err = policytext.Replace(p.Text, f.Place, item)
	} else if text, err = policytext.Remove(p.Text, f.Place); err == nil {
		text, err = policytext.Insert(text, item)
	}
	if err != nil {
		return notDone(err)
	}
	p.Text, p.Form.Item, p.Form.Print, p.Form.Also = text, "", "", ""
	return nil
}

// removeItem takes an item out of the text.
func (p *policyEditPage) removeItem(key string) error {
	f, ok := itemOf(p.Text, key)
	if !ok {
		return refuse("edit.no-item", "key", short(key, 200))
	}
	text, err := policytext.Remove(p.Text, f.Place)
	if err != nil {
		return notDone(err)
	}
	p.Text = text
	return nil
}
