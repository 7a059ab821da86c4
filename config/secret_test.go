package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Any password works in a URL as a variable, and no error contains it.
func TestPasswordsInURL(t *testing.T) {
	for _, password := range []string{"s3@cret", "a:b@c/d", "a:b@c/d#e?f", "pa%ss", "100%sure", "pa/ss", "pa ss",
		"pa#ss", "pa?ss", "p$w{x}", "密码", "a&b=c", "%40", "'", `\`, "+"} {
		t.Setenv("DB_PASSWORD", password)
		for _, url := range []string{
			"postgres://app:${DB_PASSWORD}@127.0.0.1:5432/site",
			"postgres://127.0.0.1:5432/site?user=app&password=${DB_PASSWORD}",
			"postgres://${NOBODY:-app}:${DB_PASSWORD}@127.0.0.1:5432/site?sslmode=disable",
		} {
			c, err := Parse("x", []byte("database: {url: \""+url+"\"}\n"))
			if err != nil {
				t.Errorf("%s in %s: %v", password, url, err)
				continue
			}
			parsed, err := pgx.ParseConfig(c.Database.URL)
			if err != nil || parsed.Password != password || parsed.Host != "127.0.0.1" || parsed.User != "app" {
				t.Errorf("%s in %s: password %q at %s, %v", password, url, parsed.Password, parsed.Host, err)
			}
		}
	}
	t.Setenv("HOSTS", "db1:5432,db2:5433")
	t.Setenv("WHOLE", "postgres://app:a%40b@db/site")
	for text, want := range map[string]string{
		"postgres://app@${HOSTS}/site":    "postgres://app@db1:5432,db2:5433/site",
		"${WHOLE}":                        "postgres://app:a%40b@db/site",
		"postgres://app:x@db/${WHOLE:-y}": "postgres://app:x@db/postgres://app:a%40b@db/site",
	} {
		got, err := expand(text, true, os.LookupEnv, os.ReadFile)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}

// An error of a URL, or of a value with the content of a secret file, does not show the secret.
func TestErrorsKeepSecrets(t *testing.T) {
	const secret = "hunter2"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`database: {url: "postgres://app:x@hunter2@db/site"}`:            "%40",
		`database: {url: "postgres://app:x/hunter2@db/site"}`:            "%40",
		`database: {url: "postgres://app:hunter2#x@db/site"}`:            "%40",
		`database: {url: "postgres://app:hunter2%x@db/site"}`:            "%25",
		`database: {url: "postgres://app:hunter2"}`:                      "%40",
		`database: {url: "postgres://app:hunter2@db/site?sslmode=some"}`: "sslmode",
		`database: {url: "host=db password=hunter2 x"}`:                  "no PostgreSQL URL",
		`database: {url: "hunter2@db"}`:                                  "no PostgreSQL URL",
		`database: "postgres://app:hunter2@db/site"`:                     "keys and values",
		"lan: {port: \"${file:" + file + "}\"}":                          "a whole number",
		"stop: {grace: \"${file:" + file + "}\"}":                        "a duration",
		"tls: {cert: a}\nlan: {key: hunter2}":                            "skerry key new",
	} {
		_, err := Parse("x", []byte(text+"\n"))
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "hunter") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q and no secret", text, err, want)
		}
	}
}
