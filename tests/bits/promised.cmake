# The newest part of the changelog names the list of bits by its SHA-256: cmake -D list=bits.txt -D changelog=CHANGELOG.md -P promised.cmake
file(SHA256 "${list}" got)
file(READ "${changelog}" text)
string(REGEX MATCH "\n## .*" text "${text}")
string(REGEX MATCH "list of bits, `([0-9a-f]*)`" named "${text}")
if(NOT CMAKE_MATCH_1 STREQUAL got)
  message(
    FATAL_ERROR
      "${list} is ${got}, and the newest list that ${changelog} names ${CMAKE_MATCH_1}. Say there what has changed: lines that are new, or numbers, and why."
  )
endif()
