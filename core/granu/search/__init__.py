"""How a space is searched, apart from what may change: smallest, paper, worst, random."""
