package callpath

func skerryPeer() peer { return peer{name: "skerry"} }
