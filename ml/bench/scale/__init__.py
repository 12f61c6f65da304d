"""What all of SA-1B takes in bytes, hours and money: counted floating-point operations, prices and speeds."""
