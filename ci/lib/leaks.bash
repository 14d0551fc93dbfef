# Tests of what is leaked on purpose: scopes, waits, tasks whose destructors never end, loops that a fork has left behind.
leaking=(a_leaked_ destructors_that_respawn_themselves a_loop_that_runs_is_not_entered_again)
skip_leaking=()
for name in "${leaking[@]}"; do
  skip_leaking+=(--skip "$name")
done
