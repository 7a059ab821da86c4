// Auth issues tokens and verifies them. Any instance verifies the tokens of
// any other: they are signed with a secret that all of them know.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
)

// secret stands for the content of a file at a real site.
const secret = "open sesame"

func main() {
	cfg := flag.String("config", "skerry.yaml", "configuration file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *cfg); err != nil {
		fmt.Fprintln(os.Stderr, "auth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg string) error {
	told, err := config.Read(cfg)
	if err != nil {
		return err
	}
	node, err := skerry.Open(ctx, told)
	if err != nil {
		return err
	}
	defer node.Close()
	return node.Serve(ctx, "auth", authapi.NewAuthProcessor(guard{told.Service.Version}))
}

// guard issues tokens of the form USER.EXPIRY.SIGNATURE. Each version signs in its own way and
// accepts no other, so a request that met two versions would be denied.
type guard struct{ version string }

func (g guard) GetToken(ctx context.Context, user, password string) (*authapi.Token, error) {
	if user == "" || strings.Contains(user, ".") || subtle.ConstantTimeCompare([]byte(password), []byte(secret)) == 0 {
		return nil, &authapi.Denied{Reason: "unknown user or wrong secret"}
	}
	expires := time.Now().Add(time.Hour).UnixMilli()
	claim := user + "." + strconv.FormatInt(expires, 10)
	return &authapi.Token{Value: claim + "." + g.sign(claim), User: user, Expires: expires}, nil
}

func (g guard) Verify(ctx context.Context, token string) (string, error) {
	end := strings.LastIndexByte(token, '.')
	if end < 0 || !hmac.Equal([]byte(g.sign(token[:end])), []byte(token[end+1:])) {
		return "", &authapi.Denied{Reason: "not a token of this site"}
	}
	user, expiry, _ := strings.Cut(token[:end], ".")
	expires, err := strconv.ParseInt(expiry, 10, 64)
	if err != nil || time.Now().UnixMilli() > expires {
		return "", &authapi.Denied{Reason: "the token has expired"}
	}
	return user, nil
}

func (g guard) sign(claim string) string {
	mac := hmac.New(sha256.New, []byte(secret+g.version))
	mac.Write([]byte(claim))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
