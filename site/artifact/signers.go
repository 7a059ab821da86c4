package artifact

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sshsig"
)

// Signer signs with a private key. It returns the binary form of a signature of ssh-keygen -Y sign.
type Signer interface {
	Sign(namespace string, message []byte) ([]byte, error)
}

// Signers are the keys that are trusted to sign, of files in OpenSSH's form of allowed_signers.
type Signers struct {
	files string
	list  *sshsig.Operators
}

// ReadSigners reads files of builders or operators. It fails for a file that other users may write, and for a file
// that is missing.
func ReadSigners(files ...string) (*Signers, error) {
	var all []sshsig.Operator
	for _, file := range files {
		list, err := keyfile.ReadOperators(file)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return &Signers{strings.Join(files, ", "), sshsig.NewOperators(all...)}, nil
}

// check returns the name of the signer of an armored signature.
func (s *Signers) check(namespace string, message, armored []byte) (string, error) {
	blob, err := sshsig.Dearmor(armored)
	if err != nil {
		return "", err
	}
	key, err := sshsig.Verify(blob, namespace, message)
	if err != nil {
		return "", err
	}
	if s == nil {
		return "", errors.New("no file of signers is named")
	}
	name, ok := s.list.Find(key, namespace)
	if !ok {
		return "", fmt.Errorf("the key %s may not sign %s; %s names %s", key.Fingerprint(), namespace, s.files, s.names(
			namespace))
	}
	return name, nil
}

// names are the signers that may sign in a namespace.
func (s *Signers) names(namespace string) string {
	var names []string
	for _, op := range s.list.List() {
		if op.May(namespace) {
			names = append(names, op.Name)
		}
	}
	if len(names) == 0 {
		return "no signer for it"
	}
	return strings.Join(names, ", ")
}
