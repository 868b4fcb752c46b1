# A Conan 2 recipe of the tree it lies in: conan create packaging/conan -s compiler.cppstd=20
# Each part of the library is an option here, as it brings a package along. The headers are all there in any case.
import re
from pathlib import Path

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load


class Normkit(ConanFile):
    name = "normkit"
    description = "Normalization layers over Eigen::Tensor, exact and fast without compiler flags"
    license = "Apache-2.0"
    topics = "normalization", "batch-normalization", "eigen", "simd"
    package_type = "header-library"
    implements = ["auto_header_only"]  # one package for all settings and options
    settings = "compiler"  # only to see that it is told of C++20
    options = {"mpi": [True, False], "safetensors": [True, False]}
    default_options = {"mpi": False, "safetensors": False}
    no_copy_source = True

    @property
    def _tree(self):
        return Path(self.recipe_folder).parents[1]

    def set_version(self):
        lines = load(self, self._tree / "include/normkit/version.hpp")
        self.version = ".".join(re.findall(r"^#define NORMKIT_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", lines, re.M))

    def export_sources(self):
        copy(self, "include/normkit/*.hpp", self._tree, self.export_sources_folder)
        copy(self, "LICENSE", self._tree, self.export_sources_folder)

    def requirements(self):
        self.requires("eigen/3.4.0", transitive_headers=True)
        if self.options.mpi:
            self.requires("openmpi/[>=4.1 <6]", transitive_headers=True, transitive_libs=True)
        if self.options.safetensors:
            self.requires("nlohmann_json/[>=3.7 <4]", transitive_headers=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def package(self):
        copy(self, "*.hpp", Path(self.source_folder) / "include", Path(self.package_folder) / "include")
        copy(self, "LICENSE", self.source_folder, Path(self.package_folder) / "licenses")

    def package_info(self):
        # Targets normkit::normkit, normkit::mpi and normkit::safetensors, as of the CMake package.
        self._part("normkit", "eigen::eigen")
        if self.options.mpi:
            self._part("mpi", "normkit", "openmpi::ompi-c")
        if self.options.safetensors:
            self._part("safetensors", "normkit", "nlohmann_json::nlohmann_json")

    def _part(self, name, *requires):
        part = self.cpp_info.components[name]
        part.requires = list(requires)
        part.bindirs = part.libdirs = []
