"""What the screens say: pure functions from state to lines, rows, cells. No widget, no clock."""
