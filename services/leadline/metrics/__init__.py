"""The metric service: owners count, readers answer."""
