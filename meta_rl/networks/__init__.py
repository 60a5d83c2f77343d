"""Networks used functionally: parameters are arguments, never attributes that training mutates."""
