package testsite

// Keys of sites, for tests and benchmarks. Both are in the open, so that they
// protect nothing.
const (
	SiteKey      = "sk1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypxurjq"
	OtherSiteKey = "sk1-aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4qeojne"
)
