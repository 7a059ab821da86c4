package dynamic

import (
	"fmt"
	"io"
	"os"

	"go.uber.org/thriftrw/ast"
	"go.uber.org/thriftrw/idl"

	"github.com/skerry/skerry/internal/textfile"
)

// Parse reads the syntax tree of a .thrift file, with its annotations and comments, and without the files that it
// includes. It accepts the files that Load accepts. The lines of the tree are those of the file; columns and ids of
// arguments may differ, and the type uuid is a typedef. An error of the syntax is an *idl.ParseError.
func Parse(path string) (*ast.Program, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return ParseText(text)
}

// ParseText is Parse of a text.
func ParseText(text []byte) (*ast.Program, error) {
	text, err := textfile.Plain(text)
	if err != nil {
		return nil, err
	}
	text, _ = adapt(text)
	return idl.Parse(text)
}

// IsUUID reports whether a definition of a tree of Parse stands for the type uuid.
func IsUUID(d *ast.Typedef) bool {
	for _, a := range d.Annotations {
		if a.Name == uuidMark {
			return true
		}
	}
	return false
}

// readFile reads a .thrift file of up to maxFile bytes.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		return nil, fmt.Errorf("%q has more than %d bytes", path, maxFile)
	}
	return text, err
}
