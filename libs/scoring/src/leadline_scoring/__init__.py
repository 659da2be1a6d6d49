"""What a lead's words mean for a score: titles, industries, the ICP and the scoring models as data."""
