package skerry

// Config is what a node is told. The zero value works: cluster "default",
// mode auto, broadcast on every real interface.
type Config struct {
	// Cluster names the system. Nodes of different clusters never see each other. Default "default".
	Cluster string `yaml:"cluster"`
}
