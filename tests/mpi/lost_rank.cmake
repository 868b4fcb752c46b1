# Runs lost_rank on three ranks: it has to end within a minute, with an error, and with no rank having come to its end.
execute_process(
  COMMAND ${mpiexec} ${program} ${way}
  TIMEOUT 60
  RESULT_VARIABLE result
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output)
message("${output}\nResult: ${result}")
if(result MATCHES "timeout")
  message(FATAL_ERROR "The other ranks hang.")
elseif(result EQUAL 0)
  message(FATAL_ERROR "No error.")
elseif(NOT output MATCHES "in the middle" OR output MATCHES "to the end")
  message(FATAL_ERROR "Expected all ranks to get to the middle and none to the end.")
endif()
