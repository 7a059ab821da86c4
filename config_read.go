package skerry

import "errors"

// ReadConfig reads a configuration file and checks it. All that is wrong with
// it is reported at once, each problem with its line.
func ReadConfig(path string) (Config, error) {
	return Config{}, errors.New("skerry: not wired yet")
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error { return nil }
