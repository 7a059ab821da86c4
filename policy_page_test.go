package skerry_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/registry"
)

// policyPages are the page for operators, in both languages.
var policyPages = []string{"docs/policy.md", "docs/zh/policy.md"}

// situations are the parts of a page under its headings "### 1. …" to "### 10. …".
func situations(t *testing.T, path string) (titles, parts []string) {
	t.Helper()
	heading := regexp.MustCompile(`(?m)^### (\d+\. .*)$|^## .*$`)
	text := read(t, path)
	at := heading.FindAllStringSubmatchIndex(text, -1)
	for i, m := range at {
		if m[2] < 0 {
			continue
		}
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		titles, parts = append(titles, text[m[2]:m[3]]), append(parts, text[m[1]:end])
	}
	if len(parts) != 10 {
		t.Fatalf("%s has %d situations, want 10: %q", path, len(parts), titles)
	}
	return titles, parts
}

var policyBlock = regexp.MustCompile("(?s)```yaml\n(policy: .*?)```")

// TestPolicySituations: each situation of the page has its text, a dry run and its undo, and the table at the page's
// start leads to it.
func TestPolicySituations(t *testing.T) {
	for _, path := range policyPages {
		titles, parts := situations(t, path)
		table := strings.Join(rowsBehind(t, path, "\n## "), "\n")
		for i, part := range parts {
			if !strings.HasPrefix(titles[i], fmt.Sprintf("%d. ", i+1)) {
				t.Errorf("%s: the situation %q is number %d", path, titles[i], i+1)
			}
			if link := "](#" + anchors("# " + titles[i])[0] + ")"; !strings.Contains(table, link) {
				t.Errorf("%s: the table at the start does not lead to %s", path, link)
			}
			if !policyBlock.MatchString(part) {
				t.Errorf("%s: %s has no text", path, titles[i])
			}
			for _, command := range []string{"try ", "apply ", "undo"} {
				if !strings.Contains(part, "\n$ skerry policy "+command) {
					t.Errorf("%s: %s does not show skerry policy %s", path, titles[i], command)
				}
			}
		}
	}
}

// TestPolicySituationsFit: the texts are taken by the site that the page describes, without a remark, and the Chinese
// page has the same ones.
func TestPolicySituationsFit(t *testing.T) {
	var instances []registry.Instance
	for host, services := range map[string]string{
		"h1": "auth db portal proc", "h2": "auth portal proc", "h3": "auth db proc",
	} {
		for _, service := range strings.Fields(services) {
			instances = append(instances, registry.Instance{Service: service, Zone: "hall-" + host[1:],
				Owner: registry.Owner{Host: host}})
		}
	}
	var texts [2][]*policy.Policy
	for n, path := range policyPages {
		_, parts := situations(t, path)
		for i, part := range parts {
			for _, block := range policyBlock.FindAllStringSubmatch(part, -1) {
				p, problems := form.Read([]byte(block[1]))
				if p == nil || len(problems) > 0 {
					t.Fatalf("%s: situation %d: %v", path, i+1, problems)
				}
				if found := policy.CheckSite(p, instances); len(found) > 0 {
					t.Errorf("%s: situation %d does not fit the site: %+v", path, i+1, found)
				}
				texts[n] = append(texts[n], withoutReasons(p))
			}
		}
	}
	for i, english := range texts[0] {
		if i >= len(texts[1]) || !reflect.DeepEqual(texts[1][i], english) {
			t.Errorf("text %d of the English page is not that of the Chinese one", i+1)
		}
	}
	if len(texts[0]) != len(texts[1]) {
		t.Errorf("%d texts on the English page, %d on the Chinese one", len(texts[0]), len(texts[1]))
	}
}

// withoutReasons returns a policy without what is written for people.
func withoutReasons(p *policy.Policy) *policy.Policy {
	p.Lines = nil
	services := func(of map[string]*policy.Service) {
		for _, s := range of {
			s.Items = slices.Clone(s.Items)
			for i := range s.Items {
				s.Items[i].Why = ""
			}
		}
	}
	services(p.Services)
	for _, plan := range p.Plans {
		plan.Why = ""
		services(plan.Services)
	}
	return p
}
