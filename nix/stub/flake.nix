{
  description = "Just enough of nixpkgs to evaluate flake.nix and the module without a network; builds nothing";

  # ci/nix puts it in the place of nixpkgs. It finds misspelt names and wrong types; that nixpkgs still has
  # these names, it does not know.
  outputs =
    { self }:
    let
      lib = {
        genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
        getLib = package: package;
        getExe = package: "${package}/bin/${package.meta.mainProgram}";
        makeSearchPath = folder: packages: builtins.concatStringsSep ":" (map (package: "${package}/${folder}") packages);
        licenses.mit = { spdxId = "MIT"; };

        # Of the module system only the shapes: `module` below evaluates.
        mkDefault = value: value;
        mkIf = condition: value: if condition then value else { };
        mkEnableOption = description: lib.mkOption { type = lib.types.bool; default = false; inherit description; };
        mkOption = { type, description, default ? null, example ? null }: { inherit type default description; };
        types = {
          bool = builtins.isBool;
          package = value: value ? outPath;
          path = value: builtins.isPath value || builtins.isString value;
          nullOr = type: value: value == null || type value;
          listOf = type: value: builtins.isList value && builtins.all type value;
        };
      };
      packagesFor =
        system:
        let
          # All inputs become part of the derivation, so that every name in them is looked up.
          derivation = name: inputs: builtins.derivation { inherit name system inputs; builder = "none"; };
          named = names: lib.genAttrs names (name: derivation name [ ]);
          packages =
            named [
              "cargo" "clippy" "coreutils" "curl" "ffmpeg" "installShellFiles" "makeWrapper" "mpv" "nixfmt"
              "pkg-config" "rustc" "rustfmt" "shellcheck" "v4l-utils"
            ]
            // {
              inherit lib;
              callPackage =
                file: given:
                let
                  function = import file;
                  wanted = builtins.intersectAttrs (builtins.functionArgs function) packages;
                in
                function (wanted // given);
              gst_all_1 = named [
                "gstreamer" "gst-plugins-base" "gst-plugins-good" "gst-plugins-bad" "gst-plugins-ugly" "gst-libav"
              ];
              rustPlatform.buildRustPackage =
                { pname, version, src, cargoLock, nativeBuildInputs, buildInputs, doCheck, postInstall, passthru, meta }:
                derivation "${pname}-${version}" (
                  nativeBuildInputs ++ buildInputs ++ [ src (builtins.readFile cargoLock.lockFile) doCheck postInstall ]
                )
                // passthru
                // {
                  inherit meta;
                };
              mkShell =
                { inputsFrom, packages, GST_PLUGIN_SYSTEM_PATH_1_0 }:
                derivation "shell" (inputsFrom ++ packages ++ [ GST_PLUGIN_SYSTEM_PATH_1_0 ]);
              runCommand =
                name: { nativeBuildInputs ? [ ] }: script: derivation name (nativeBuildInputs ++ [ script ]);
              formats.yaml = { }: {
                type = builtins.isAttrs;
                generate = name: value: derivation name [ (builtins.toJSON value) ];
              };
            };
        in
        packages;

      # What a NixOS module sets for the options `given` of services.voyandz. Fails where a value has not the type of its
      # option, and where there is no such option.
      evaluate =
        module: given:
        let
          outer = module { inherit pkgs; };
          inner = import (builtins.head outer.imports) { inherit config lib pkgs; };
          options = inner.options.services.voyandz;
          pkgs = packagesFor "x86_64-linux";
          set = outer.services.voyandz // given;
          checked = builtins.mapAttrs (
            name: value: if options.${name}.type value then value else throw "services.voyandz.${name} has not its type"
          ) set;
          config.services.voyandz = builtins.mapAttrs (_: option: option.default) options // checked;
        in
        inner.config;
    in
    {
      inherit lib evaluate;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packagesFor;
    };
}
