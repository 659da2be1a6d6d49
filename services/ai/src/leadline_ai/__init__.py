"""The ai service: judges each prospect's buying intent for an offer, and says who judged and why."""
