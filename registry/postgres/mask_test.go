package postgres

import (
	"net/url"
	"strings"
	"testing"

	"github.com/skerry/skerry/registry"
)

// forms are connection strings with a password, valid and invalid ones.
func forms(secret string) map[string]string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(secret)
	path, query := url.PathEscape(secret), url.QueryEscape(secret)
	return map[string]string{
		"user":                     "postgres://app:" + url.UserPassword("", secret).String()[1:] + "@db/site",
		"user of several hosts":    "postgresql://app:" + path + "@one:5432,two:5433/site?sslmode=disable",
		"user, port wrong":         "postgres://app:" + path + "@db:notaport/site",
		"user, host wrong":         "postgres://app:" + path + "@[::1/site",
		"user, scheme wrong":       "postgres:/app:" + path + "@db/site",
		"user, other scheme":       "mysql://app:" + path + "@db/site",
		"user, no scheme":          "app:" + path + "@db/site",
		"query":                    "postgres://app@db/site?password=" + query + "&sslmode=disable",
		"query of the key":         "postgres://app@db/site?sslmode=disable&sslpassword=" + query,
		"query, encoded name":      "postgres://app@db/site?pass%77ord=" + query,
		"query, large letters":     "postgres://app@db/site?PASSWORD=" + query,
		"query, setting wrong":     "postgres://app@db/site?password=" + query + "&connect_timeout=soon",
		"query, escape wrong":      "postgres://app@db/site?password=" + query + "%zz",
		"query, user too":          "postgres://app:" + path + "@db/site?password=" + query + "&sslmode=odd",
		"user, escape wrong":       "postgres://app:" + path + "%zz@db/site",
		"pairs":                    "host=db user=app password='" + quoted + "' dbname=site",
		"pairs, spaces":            "host = db user = app password = '" + quoted + "' dbname = site",
		"pairs of the key":         "host=db sslpassword='" + quoted + "'",
		"pairs, port wrong":        "host=db port=x password='" + quoted + "'",
		"pairs, setting wrong":     "host=db password='" + quoted + "' sslmode=odd",
		"pairs, no end":            "host=db password='" + quoted,
		"pairs, word behind":       "password='" + quoted + "' nonsense",
		"pairs, another before it": "nonsense password='" + quoted + "'",
	}
}

// raw are forms with an unencoded password, though it holds characters that should be encoded.
func raw(secret string) map[string]string {
	return map[string]string{
		"user, not encoded":  "postgres://app:" + secret + "@db/site",
		"user, digits first": "postgres://app:12/" + secret + "@db/site",
		"user, query first":  "postgres://app:12?" + secret + "@db/site",
		"user, mark first":   "postgres://app:12#" + secret + "@db/site",
		"no user":            "postgres://" + "app:" + secret + "@db:x/site?sslmode=disable",
	}
}

func good(url string) Config {
	return Config{URL: url, Cluster: "site", Owner: registry.Owner{Host: "h", PID: 1, Epoch: 1}}
}

// TestPasswordIsMasked: neither a masked connection string nor an error of parsing it holds the
// password or a part of it.
func TestPasswordIsMasked(t *testing.T) {
	for _, secret := range []string{
		"hush-hush", "hush hush", "hush'hush", `hush\hush`, "hush/hush", "hush@hush", "hush?hush", "hush#hush",
		"hush=hush&hush", "hush:hush", "hüsh%hush",
	} {
		all := forms(secret)
		if !strings.ContainsAny(secret, " '\\=") {
			for name, text := range raw(secret) {
				all[name] = text
			}
		}
		for name, text := range all {
			check := func(what, said string) {
				t.Helper()
				for _, part := range []string{"hush", "hüsh", "h%C3%BCsh"} {
					if strings.Contains(said, part) {
						t.Errorf("%s %q: %s shows the password: %s", name, text, what, said)
						return
					}
				}
			}
			check("MaskURL", maskedURL(text))
			r, err := New(good(text))
			if err != nil {
				check("the error", err.Error())
				continue
			}
			check("the address", r.address)
			if secret != r.conn.Password && strings.HasPrefix(name, "user") {
				t.Errorf("%s %q: read as password %q", name, text, r.conn.Password)
			}
		}
	}
}

// TestMaskURLKeepsTheRest: other parts stay readable.
func TestMaskURLKeepsTheRest(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""},
		{"postgres://db/site", "postgres://db/site"},
		{"postgres://app@db/site", "postgres://app@db/site"},
		{"postgres://a:b@db/site", "postgres://a:xxxxx@db/site"},
		{"postgres://a:@db/site", "postgres://a:xxxxx@db/site"},
		{"postgres://a:b@one,two/site?password=c&application_name=x@y",
			"postgres://a:xxxxx@one,two/site?password=xxxxx&application_name=x@y"},
		{"postgres://a@db/site?sslkey=/etc/k&passfile=/etc/p&sslmode=no",
			"postgres://a@db/site?sslkey=/etc/k&passfile=xxxxx&sslmode=no"},
		{"host=db password=x user=app", "host=db password=xxxxx user=app"},
		{"host=db password = 'a b' user=app", "host=db password =xxxxx user=app"},
		{`password=a\ b user='x y'`, `password=xxxxx user='x y'`},
	} {
		text, want := c[0], c[1]
		if got := maskedURL(text); got != want {
			t.Errorf("MaskURL(%q) = %q, want %q", text, got, want)
		}
	}
}

// FuzzMaskURL: no secret survives in any form.
func FuzzMaskURL(f *testing.F) {
	f.Add("hush-hush", "rest")
	f.Add("a@b/c?d#e", "'")
	f.Add(`\'"`, "=")
	f.Fuzz(func(t *testing.T, secret, other string) {
		_ = maskedURL(other) // no panic
		if _, err := New(good(other)); err != nil && len(err.Error()) > 3*len(other)+1000 {
			t.Fatalf("a long error: %v", err)
		}
		secret = "<<" + secret + ">>" // distinguishes it from the rest
		for name, text := range forms(secret) {
			shown := maskedURL(text)
			if strings.Contains(shown, secret) || strings.Contains(shown, url.QueryEscape(secret)) {
				t.Fatalf("%s: %q is shown as %q", name, text, shown)
			}
			if _, err := New(good(text)); err != nil && strings.Contains(err.Error(), secret) {
				t.Fatalf("%s: %q: %v", name, text, err)
			}
		}
	})
}
