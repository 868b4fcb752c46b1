# What a Debian package has in its own way, in the files that cpack has gathered and not yet packed: every Debian has the
# text of the licence already, and wants to be told where.
set(doc "${CPACK_TEMPORARY_DIRECTORY}/usr/share/doc")
file(REMOVE_RECURSE "${doc}")
file(WRITE "${doc}/libnormkit-dev/copyright" "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: normkit

Files: *
Copyright: 2026 the normkit developers
License: Apache-2.0
 The text of the licence is in /usr/share/common-licenses/Apache-2.0.
")
