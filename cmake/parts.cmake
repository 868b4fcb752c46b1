# The packages of optional parts, for normkit's own programs.

# normkit_find(option package...)
# By the option: ON, the package has to be there; AUTO, what needs it is not built where it is not.
macro(normkit_find option)
  if(${option} STREQUAL "AUTO")
    find_package(${ARGN})
    if(NOT ${ARGV1}_FOUND)
      message(NOTICE "No ${ARGV1}: what needs it is not built.")
    endif()
  elseif(${option})
    find_package(${ARGN} REQUIRED)
  endif()
endmacro()

normkit_find(NORMKIT_SAFETENSORS nlohmann_json 3.7)
normkit_find(NORMKIT_MPI MPI COMPONENTS CXX)

# How programs of MPI are run: with more ranks than cores, and as root too, which Open MPI wants to be told.
set(normkit_mpi_environment
    OMPI_ALLOW_RUN_AS_ROOT=1
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    OMPI_MCA_rmaps_base_oversubscribe=1 # Open MPI 4
    PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe # Open MPI 5
    OMPI_MCA_btl_vader_single_copy_mechanism=none # containers forbid it, with a warning
    OMPI_MCA_mpi_yield_when_idle=1
    OMP_NUM_THREADS=1)

# normkit_add_mpi_test(name ranks LABELS label COMMAND program argument...)
function(normkit_add_mpi_test name ranks)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "LABELS;COMMAND")
  add_test(NAME ${name} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${MPIEXEC_PREFLAGS}
                                ${arg_COMMAND})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" ENVIRONMENT "${normkit_mpi_environment}" TIMEOUT 300
                                          PROCESSORS ${ranks})
endfunction()
