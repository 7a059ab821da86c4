package operatorkey

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sshsig"
	"golang.org/x/crypto/ssh"
)

// Options name the key and its purpose.
type Options struct {
	File     string // of the private key, or of the public one of a key in the agent; "" for any in the agent
	Envelope bool   // ask for the line of the envelope

	Operators []sshsig.Operator // as the file of operators names them
	Namespace string            // namespace of the signature
	Name      string            // of the operator; "" for the operator of the found key
	Unlisted  bool              // any key signs, by its fingerprint: there is no file that names keys

	// Ask asks on the terminal, without echo. Nil means the package's Ask.
	Ask func(prompt string) (string, error)
}

// Signer signs for one operator.
type Signer struct {
	name  string
	key   sshsig.PublicKey
	sign  func(data []byte) ([]byte, error)
	close func() error
}

// Name is the operator's name in the file of operators.
func (s *Signer) Name() string { return s.name }

// PublicKey is the public half of the signing key.
func (s *Signer) PublicKey() sshsig.PublicKey { return s.key }

// Sign returns the binary signature of a message.
func (s *Signer) Sign(namespace string, message []byte) ([]byte, error) {
	raw, err := s.sign(sshsig.Signed(namespace, message))
	if err != nil {
		return nil, fmt.Errorf("sign as %s: %w", s.name, err)
	}
	blob, err := sshsig.Blob(s.key, namespace, raw)
	if err != nil {
		return nil, fmt.Errorf("sign as %s: %w", s.name, err)
	}
	if _, err := sshsig.Verify(blob, namespace, message); err != nil {
		return nil, fmt.Errorf("sign as %s: the agent's %w", s.name, err)
	}
	return blob, nil
}

// Close ends the connection to the agent.
func (s *Signer) Close() error { return s.close() }

// Open finds the key of an operator. The end of ctx ends every wait for the agent, also in the
// Signer.
func Open(ctx context.Context, o Options) (*Signer, error) {
	if o.Ask == nil {
		o.Ask = Ask
	}
	if o.Name != "" && !slices.ContainsFunc(o.Operators, func(op sshsig.Operator) bool { return op.Name == o.Name }) {
		name := o.Name
		o.Name = ""
		return nil, fmt.Errorf("the file of operators names no %s; it names %s", name, o.names())
	}
	switch {
	case o.Envelope && o.File != "":
		return nil, errors.New("a key file and the envelope are named; one of them signs")
	case o.Envelope:
		return o.fromEnvelope()
	case o.File != "":
		return o.fromFile(ctx)
	}
	return o.fromAgent(ctx, nil)
}

func (o Options) fromEnvelope() (*Signer, error) {
	line, err := o.Ask("The line of the envelope (52 letters and digits): ")
	if errors.Is(err, ErrNoTerminal) {
		return nil, fmt.Errorf("the line of the envelope is asked for on a terminal, and never read from arguments or "+
			"pipes: %w; run the command by hand, over ssh with: ssh -t", err)
	}
	if err != nil {
		return nil, err
	}
	private, err := ParseEnvelope(line)
	if err != nil {
		return nil, err
	}
	return o.inMemory(private, "the key of the envelope")
}

func (o Options) fromFile(ctx context.Context) (*Signer, error) {
	if strings.HasSuffix(o.File, ".pub") {
		key, _, err := keyfile.ReadPublicKey(o.File)
		if err != nil {
			return nil, err
		}
		return o.fromAgent(ctx, &key)
	}
	text, err := keyfile.ReadPrivate(o.File)
	if err != nil {
		return nil, err
	}
	raw, err := o.decrypt([]byte(text))
	if err != nil {
		return nil, err
	}
	switch private := raw.(type) {
	case *ed25519.PrivateKey:
		return o.inMemory(*private, "the key in "+o.File)
	case ed25519.PrivateKey:
		return o.inMemory(private, "the key in "+o.File)
	}
	return nil, fmt.Errorf("%s holds a key of another type than ssh-ed25519, which operators sign with; make one "+
		"with: ssh-keygen -t ed25519", o.File)
}

// tries is the number of attempts for a passphrase.
const tries = 3

// decrypt reads a private key, and asks for its passphrase if it has one.
func (o Options) decrypt(text []byte) (any, error) {
	raw, err := ssh.ParseRawPrivateKey(text)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); !locked {
		if err != nil {
			return nil, fmt.Errorf("%s holds no private key of OpenSSH: %w", o.File, err)
		}
		return raw, nil
	}
	for range tries {
		passphrase, err := o.Ask("Passphrase of " + o.File + ": ")
		if err != nil {
			return nil, fmt.Errorf("%s has a passphrase: %w; or put the key into ssh-agent: ssh-add %s",
				o.File, err, o.File)
		}
		if passphrase == "" {
			continue // the parser reports it as a damaged file
		}
		raw, err := ssh.ParseRawPrivateKeyWithPassphrase(text, []byte(passphrase))
		if err == nil {
			return raw, nil
		}
		if !errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("%s: %w", o.File, err)
		}
	}
	return nil, fmt.Errorf("the passphrase of %s was wrong %d times", o.File, tries)
}

func (o Options) inMemory(private ed25519.PrivateKey, what string) (*Signer, error) {
	key := sshsig.PublicKey(private.Public().(ed25519.PublicKey))
	op, ok := o.find(key)
	if !ok {
		return nil, o.stranger(what, key)
	}
	return &Signer{
		name:  op.Name,
		key:   key,
		sign:  func(data []byte) ([]byte, error) { return ed25519.Sign(private, data), nil },
		close: func() error { return nil },
	}, nil
}

// find returns the operator with this key, if the options accept that operator and it may sign.
func (o Options) find(key sshsig.PublicKey) (sshsig.Operator, bool) {
	if o.Unlisted {
		return sshsig.Operator{Name: key.Fingerprint(), Key: key}, true
	}
	i := slices.IndexFunc(o.Operators, func(op sshsig.Operator) bool { return op.Key == key })
	if i < 0 || o.Name != "" && o.Operators[i].Name != o.Name || !o.Operators[i].May(o.Namespace) {
		return sshsig.Operator{}, false
	}
	return o.Operators[i], true
}

// stranger returns the reason why a key may not sign.
func (o Options) stranger(what string, key sshsig.PublicKey) error {
	i := slices.IndexFunc(o.Operators, func(op sshsig.Operator) bool { return op.Key == key })
	switch {
	case i < 0:
		return fmt.Errorf("%s (%s) belongs to no operator; the file of operators names %s; add it with: skerry "+
			"operator add NAME KEY.pub",
			what, key.Fingerprint(), o.names())
	case o.Name != "" && o.Operators[i].Name != o.Name:
		return fmt.Errorf("%s is the one of %s, not of %s", what, o.Operators[i].Name, o.Name)
	}
	return fmt.Errorf("%s is the one of %s, whose line does not name %s; the file of operators allows %s only",
		what, o.Operators[i].Name, o.Namespace, strings.Join(o.Operators[i].Namespaces, ", "))
}

// names lists the accepted operators, with their fingerprints.
func (o Options) names() string {
	var list []string
	for _, op := range o.Operators {
		if op.May(o.Namespace) && (o.Name == "" || o.Name == op.Name) {
			list = append(list, op.Name+" ("+op.Key.Fingerprint()+")")
		}
	}
	if len(list) == 0 {
		return "no operator with " + o.Namespace
	}
	return strings.Join(list, ", ")
}
