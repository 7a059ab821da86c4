package callpath

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// collector is the GOGC that all children get; 0 = none.
var collector int

// process is a child that answers lines with lines.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	if collector > 0 {
		cmd.Env = append(os.Environ(), "GOGC="+strconv.Itoa(collector))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd, in, bufio.NewScanner(out)}, cmd.Start()
}

func (p *process) line() (string, error) {
	if p.out.Scan() {
		return p.out.Text(), nil
	}
	if err := p.out.Err(); err != nil {
		return "", err
	}
	return "", io.ErrUnexpectedEOF
}

func (p *process) ask(answer any) error { return p.tell("", answer) }

// tell has the child do something and reads its answer.
func (p *process) tell(what string, answer any) error {
	if _, err := io.WriteString(p.in, what+"\n"); err != nil {
		return err
	}
	line, err := p.line()
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(line), answer)
}

func (p *process) end() {
	p.in.Close()
	done := time.AfterFunc(2*time.Second, func() { p.cmd.Process.Kill() })
	defer done.Stop()
	p.cmd.Wait()
}
