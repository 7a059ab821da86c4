package mask

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	open := []string{ // without secrets
		"postgres://app@db/site?sslmode=require", "postgres://db1:5432,db2:5433/site?target_session_attrs=primary",
		"postgres://h/site?strange=secret&user=app", "hunter2",
	}
	for _, c := range []struct{ in, want string }{
		{"postgres://app:hunter2@db/site", "postgres://app:xxxxx@db/site"},
		{"postgres://app@db/site?sslmode=require", "postgres://app@db/site?sslmode=require"},
		{"postgres://db1:5432,db2:5433/site?target_session_attrs=primary",
			"postgres://db1:5432,db2:5433/site?target_session_attrs=primary"},
		{"postgres://app:a%40b%2Fc@[fd00::1]:5432/site", "postgres://app:xxxxx@[fd00::1]:5432/site"},
		{"postgres://app:pw@%2Fvar%2Frun%2Fpostgresql/site", "postgres://app:xxxxx@%2Fvar%2Frun%2Fpostgresql/site"},
		{"postgresql://h/site?user=app&password=secret", "postgresql://h/site?user=app&password=xxxxx"},
		{"postgres://h/site?password=sec&ret=1&user=x", "postgres://h/site?password=xxxxx&xxxxx"},
		{"postgres://h/site?sslpassword=secret", "postgres://h/site?sslpassword=xxxxx"},
		{"postgres://h/site?passfile=/root/.pgpass", "postgres://h/site?passfile=xxxxx"},
		{"postgres://h/site?PassWord=secret", "postgres://h/site?PassWord=xxxxx"},
		{"postgres://h/site?pass%77ord=secret", "postgres://h/site?pass%77ord=xxxxx"},
		{"postgres://h/site?strange=secret&user=app", "postgres://h/site?strange=xxxxx&user=app"},
		{"postgres://app:s3@cret@db/site", "postgres://xxxxx"},
		{"postgres://app:a/b@db/site", "postgres://xxxxx"},
		{"postgres://app:a#b@db/site", "postgres://xxxxx"},
		{"postgres://app:a?b@db/site", "postgres://xxxxx"},
		{"postgres://app:a:b@db/site", "postgres://xxxxx"},
		{"postgres://app:100%sure@db/site", "postgres://xxxxx"},
		{"postgres://app:pa ss@db/site", "postgres://xxxxx"},
		{"postgres://app:hunter2", "postgres://xxxxx"},
		{"postgres://h/site?password=p@ss", "postgres://xxxxx"},
		{"postgres://h/site?password=p#ss", "postgres://xxxxx"},
		{"host=db user=app password=secret", "(set)"},
		{"host=db password = 'sec ret'", "(set)"},
		{" postgres://app:hunter2@db/site", "(set)"},
		{"mysql://app:hunter2@db/site", "(set)"},
		{"hunter2", "(set)"},
	} {
		if got := URL(c.in); got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
		if got := Doubtful(c.in); got != (c.want == "postgres://xxxxx") {
			t.Errorf("%s: doubtful %v", c.in, got)
		}
		if got := HasSecret(c.in); got != !slices.Contains(open, c.in) {
			t.Errorf("%s: has a secret: %v", c.in, got)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"", "@", "/", "#", "?", "&host=", "%", " ", ":", "'", "\\'", "=", "%40", ",", "]", "\n", "密码", "@db/site?user=",
	} {
		f.Add(s)
	}
	const mark = "S3CR3T"
	f.Fuzz(func(t *testing.T, s string) {
		secret := mark + s + mark
		for _, text := range []string{
			"postgres://app:" + secret + "@db/site",
			"postgres://app:" + secret + "@db1:5432,db2/site?sslmode=require&application_name=x",
			"postgresql://:" + secret + "@db",
			"postgres://app:" + url.QueryEscape(secret) + "@db/site",
			"postgres://app:" + url.PathEscape(secret) + "@db/site",
			"postgres://db/site?password=" + secret,
			"postgres://db/site?user=app&sslpassword=" + secret + "&sslmode=require",
			"postgres://app@db/site?passfile=" + secret,
			"postgres://app@db/site?%70assword=" + url.QueryEscape(secret),
			"host=db user=app password=" + secret,
			"host=db password='" + secret + "' user=app",
			"postgres ://app:" + secret + "@db",
			"\tpostgres://app:" + secret + "@db",
			"app:" + secret + "@db/site",
			secret,
		} {
			if masked := URL(text); strings.Contains(masked, mark) ||
				strings.Contains(masked, url.QueryEscape(secret)) {
				t.Errorf("%q: %q", text, masked)
			} else if again := URL(masked); again != masked && again != Set {
				t.Errorf("masked twice: %q, then %q", masked, again)
			}
		}
	})
}
