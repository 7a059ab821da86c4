package sshsig

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseOperators(t *testing.T) {
	_, a := signer(1)
	_, b := signer(2)
	_, c := signer(3)
	text := "\ufeff# operators of the plant\r\n\r\n" +
		`li namespaces="skerry-release,skerry-policy,skerry-plan" ` + a.String() + " li@ops-1, hall 2\r\n" +
		`"breakglass" NAMESPACES="skerry-*" ` + b.String() + "\r\n" +
		"\tconsole@ops-1\tnamespaces=\"skerry-policy\"\t" + c.String()
	list, err := ParseOperators("ops", text)
	if err != nil {
		t.Fatal(err)
	}
	o := NewOperators(list...)
	if got := o.Names(); !slices.Equal(got, []string{"li", "breakglass", "console@ops-1"}) {
		t.Errorf("Names = %v", got)
	}
	if list[0].Line != 3 || list[0].Comment != "li@ops-1, hall 2" {
		t.Errorf("the first is in line %d with the comment %q", list[0].Line, list[0].Comment)
	}
	_, stranger := signer(4)
	for _, c := range []struct {
		key             PublicKey
		namespace, want string
	}{
		{a, Release, "li"}, {a, Promise, "li"}, {a, Policy, "li"}, {a, Plan, "li"}, {a, "file", ""}, {a, "", ""},
		{b, Release, "breakglass"}, {b, Plan, "breakglass"}, {b, "git", ""},
		{c, Policy, "console@ops-1"}, {c, Release, ""}, {c, Promise, ""},
		{stranger, Release, ""},
	} {
		if name, ok := o.Find(c.key, c.namespace); name != c.want || ok != (c.want != "") {
			t.Errorf("Find(%.20s, %s) = %q, %v, want %q", c.key, c.namespace, name, ok, c.want)
		}
	}
}

func TestParseOperatorsRefuses(t *testing.T) {
	_, a := signer(1)
	_, b := signer(2)
	good := `li namespaces="skerry-release" ` + a.String()
	for _, c := range []struct{ text, want string }{
		{"", "ops: it names no operator; add one with: skerry operator add"},
		{"# only a comment\n", "names no operator"},
		{good + "\nli namespaces=\"skerry-release\" " + b.String(), "ops:2: the operator li stands in line 1 already"},
		{good + "\n\nwu namespaces=\"skerry-release\" " + a.String(),
			"ops:3: the key of wu is the one of li in line 1"},
		{`li valid-after="20260101",namespaces="skerry-release" ` + a.String(), "ops:1: valid-after is not taken"},
		{`li namespaces="skerry-release",valid-before="20270101Z" ` + a.String(), "ops:1: valid-before is not taken"},
		{`li cert-authority,namespaces="skerry-release" ` + a.String(), "ops:1: cert-authority is not taken"},
		{`li verify-required ` + a.String(), `the option "verify-required" is not known`},
		{`li ` + a.String(),
			`write li namespaces="skerry-release,skerry-promise,skerry-policy,skerry-plan" ssh-ed25519`},
		{`li namespaces=skerry-release ` + a.String(), "in quotes"},
		{`li namespaces="" ` + a.String(), "no namespace"},
		{`li namespaces="skerry-*,!skerry-plan" ` + a.String(), `"!skerry-plan" is no namespace`},
		{`li namespaces="a",namespaces="b" ` + a.String(), "stands twice"},
		{`* namespaces="skerry-release" ` + a.String(), "is a pattern or a list"},
		{`li,wu namespaces="skerry-release" ` + a.String(), "is a pattern or a list"},
		{"l\x1b[2Ji namespaces=\"skerry-release\" " + a.String(), "is no name of an operator"},
		{a.String(), "the operator's name comes first"},
		{`li namespaces="skerry-release" ssh-rsa AAAAB3NzaC1yc2E=`, "make one with: ssh-keygen -t ed25519"},
		{`li namespaces="skerry-release" sk-ssh-ed25519@openssh.com AAAA`, "security token"},
		{`li namespaces="skerry-release"`, "ops:1: the public key is empty"},
		{`li namespaces="skerry-release" ssh-ed25519`, "copy the whole line"},
		{`li namespaces="skerry-release" ` + a.String()[:60], "damaged"},
		{"li", "ops:1:"},
		{`li namespaces="skerry-release ` + a.String(), "ops:1:"},
		{strings.Repeat("x", maxKeyLine+1), "at most 4096"},
		{strings.Repeat("#\n", MaxFile), "at most 262144 are read"},
	} {
		_, err := ParseOperators("ops", c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: %v, want an error with %q", c.text, err, c.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%.80q: control characters of the file stand in the error", c.text)
		}
	}
	var many strings.Builder
	for i := range maxOperators + 1 {
		_, key := signer(1)
		key[0], key[1] = byte(i), byte(i>>8)
		fmt.Fprintf(&many, "op%d namespaces=\"skerry-release\" %s\n", i, key)
	}
	if _, err := ParseOperators("ops", many.String()); err == nil ||
		!strings.Contains(err.Error(), "ops:1001: more than 1000") {
		t.Errorf("%d operators: %v", maxOperators+1, err)
	}
}

func TestOperatorsChange(t *testing.T) {
	_, a := signer(1)
	_, b := signer(2)
	li := Operator{Name: "li", Key: a, Namespaces: Namespaces}
	o := NewOperators(li)
	changed := o.Changed()
	o.Set([]Operator{li})
	select {
	case <-changed:
		t.Error("the same operators again are told as a change")
	default:
	}
	o.Set([]Operator{{Name: "wu", Key: b, Namespaces: Namespaces}})
	<-changed
	if _, ok := o.Find(a, Release); ok {
		t.Error("a key that was taken out is still trusted")
	}
	if name, ok := o.Find(b, Release); !ok || name != "wu" {
		t.Errorf("Find of the new key = %q, %v", name, ok)
	}
}

func TestFormat(t *testing.T) {
	_, a := signer(1)
	for _, bad := range []Operator{
		{Name: "li", Key: a},
		{Name: "l i", Key: a, Namespaces: Namespaces},
		{Name: "", Key: a, Namespaces: Namespaces},
		{Name: "li", Key: a, Namespaces: Namespaces, Comment: "x\nwu namespaces=\"*\" " + a.String()},
		{Name: "li", Key: a, Namespaces: []string{`a" ssh-ed25519`}},
	} {
		if line, err := bad.Format(); err == nil {
			t.Errorf("%+v is written as %q", bad, line)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"", "", true}, {"*", "", true}, {"a*", "abc", true},
		{"*c", "abc", true},
		{"a*c*e", "abcde", true}, {"a*c*e", "abcd", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"**", "x", true}, {"a*b", "aXbY", false},
		{strings.Repeat("*a", 30) + "b", strings.Repeat("a", 64), false},
	} {
		if got := match(c.pattern, c.text); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.text, got)
		}
	}
}

func FuzzParseOperators(f *testing.F) {
	_, a := signer(1)
	f.Add(`li namespaces="skerry-release" ` + a.String() + " c\n# x\n")
	f.Add(`"li" namespaces="a,b",valid-after="x" ` + a.String())
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseOperators("ops", text)
		if err != nil {
			return
		}
		for _, op := range list {
			line, err := op.Format()
			if err != nil {
				t.Fatalf("%+v was read and can't be written: %v", op, err)
			}
			back, err := ParseOperators("ops", line)
			if err != nil || back[0].Name != op.Name || back[0].Key != op.Key ||
				!slices.Equal(back[0].Namespaces, op.Namespaces) {
				t.Fatalf("%q comes back as %+v, %v", line, back, err)
			}
		}
	})
}
