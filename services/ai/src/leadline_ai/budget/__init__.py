"""What calls cost, and the budgets of a run and of a day that they are reserved in beforehand."""
