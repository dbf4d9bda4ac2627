{
  description = "Just enough of nixpkgs to evaluate flake.nix without a network; builds nothing";

  # ci/flake puts it in the place of nixpkgs. It finds misspelt names and wrong types; that nixpkgs still has
  # these names, it cannot tell.
  outputs =
    { self }:
    let
      lib = {
        genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
        getLib = package: package;
        getExe = package: "${package}/bin/${package.meta.mainProgram}";
        makeSearchPath = folder: packages: builtins.concatStringsSep ":" (map (package: "${package}/${folder}") packages);
        licenses.mit = { spdxId = "MIT"; };
      };
      packagesFor =
        system:
        let
          # All inputs become part of the derivation, so that every name in them is looked up.
          derivation = name: inputs: builtins.derivation { inherit name system inputs; builder = "none"; };
          named = names: lib.genAttrs names (name: derivation name [ ]);
        in
        named [ "cargo" "clippy" "curl" "ffmpeg" "makeWrapper" "mpv" "pkg-config" "rustc" "rustfmt" "shellcheck" "v4l-utils" ]
        // {
          gst_all_1 = named [
            "gstreamer" "gst-plugins-base" "gst-plugins-good" "gst-plugins-bad" "gst-plugins-ugly" "gst-libav"
          ];
          rustPlatform.buildRustPackage =
            { pname, version, src, cargoLock, nativeBuildInputs, buildInputs, doCheck, postInstall, meta }:
            derivation "${pname}-${version}" (
              nativeBuildInputs ++ buildInputs ++ [ src (builtins.readFile cargoLock.lockFile) doCheck postInstall ]
            )
            // {
              inherit meta;
            };
          mkShell =
            { inputsFrom, packages, GST_PLUGIN_SYSTEM_PATH_1_0 }:
            derivation "shell" (inputsFrom ++ packages ++ [ GST_PLUGIN_SYSTEM_PATH_1_0 ]);
          runCommand = name: { }: script: derivation name [ script ];
        };
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packagesFor;
    };
}
