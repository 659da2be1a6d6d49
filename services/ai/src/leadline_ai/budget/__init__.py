"""Prices of calls, and the budgets of runs and days in which their cost is reserved beforehand."""
