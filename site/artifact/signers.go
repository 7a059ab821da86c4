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
	lists []*sshsig.Operators // a key may stand in several files, for different namespaces
}

// ReadSigners reads files of builders or operators. It fails for a file that other users may write, and for a file
// that is missing.
func ReadSigners(files ...string) (*Signers, error) {
	s := &Signers{files: strings.Join(files, ", ")}
	for _, file := range files {
		list, err := keyfile.ReadOperators(file)
		if err != nil {
			return nil, err
		}
		s.lists = append(s.lists, sshsig.NewOperators(list...))
	}
	return s, nil
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
	for _, list := range s.lists {
		if name, ok := list.Find(key, namespace); ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("the key %s may not sign %s; %s names %s", key.Fingerprint(), namespace, s.files,
		s.names(namespace))
}

// names are the signers that may sign in a namespace.
func (s *Signers) names(namespace string) string {
	var names []string
	for _, list := range s.lists {
		for _, op := range list.List() {
			if op.May(namespace) {
				names = append(names, op.Name)
			}
		}
	}
	if len(names) == 0 {
		return "no signer for it"
	}
	return strings.Join(names, ", ")
}
