"""What a prospect's words mean for a score: titles, industries, the ICP and the scoring models."""
