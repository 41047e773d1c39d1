# Read by every bash step (BASH_ENV): act loses what a failing step prints last, so all of it goes to a file.
unset BASH_ENV
exec >>"$STEP_LOG" 2>&1
