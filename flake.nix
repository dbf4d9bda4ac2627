{
  description = "A live audio/video server: any feed in, any stream out, at minimum latency";

  # flake.lock pins a revision whose hash was taken from the lock files of three independent projects that agree
  # on it; it was not fetched for this one. A wrong hash makes Nix refuse, it cannot go unnoticed.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forAllSystems = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      manifest = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).package;

      plugins =
        pkgs: with pkgs.gst_all_1; [
          gstreamer
          gst-plugins-base
          gst-plugins-good
          gst-plugins-bad
          gst-plugins-ugly
          gst-libav
        ];
      pluginPath = pkgs: lib.makeSearchPath "lib/gstreamer-1.0" (map lib.getLib (plugins pkgs));

      package =
        pkgs:
        pkgs.rustPlatform.buildRustPackage {
          pname = manifest.name;
          inherit (manifest) version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;

          nativeBuildInputs = [
            pkgs.pkg-config
            pkgs.makeWrapper
          ];
          buildInputs = plugins pkgs;

          # The tests need players and a browser: ci/test runs them. Here, `checks.demo` tries the result.
          doCheck = false;

          # Workers inherit the variable. wrapGAppsHook would bring GTK along.
          postInstall = ''
            wrapProgram $out/bin/voyandz --prefix GST_PLUGIN_SYSTEM_PATH_1_0 : ${pluginPath pkgs}
          '';

          meta = {
            inherit (manifest) description;
            license = lib.licenses.mit;
            mainProgram = "voyandz";
            platforms = systems;
          };
        };
    in
    {
      packages = forAllSystems (pkgs: {
        default = package pkgs;
      });

      apps = forAllSystems (pkgs: {
        default = {
          type = "app";
          program = lib.getExe (package pkgs);
        };
      });

      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (package pkgs) ];
          packages = [
            pkgs.cargo
            pkgs.rustc
            pkgs.rustfmt
            pkgs.clippy
            pkgs.gst_all_1.gstreamer
            pkgs.curl
            pkgs.ffmpeg
            pkgs.mpv
            pkgs.shellcheck
            pkgs.v4l-utils
          ];
          GST_PLUGIN_SYSTEM_PATH_1_0 = pluginPath pkgs;
        };
      });

      checks = forAllSystems (pkgs: {
        package = package pkgs;
        # A worker parses the demo's pipelines, so every element of them must be found.
        demo = pkgs.runCommand "voyandz-demo" { } ''
          export HOME=$TMPDIR
          ${lib.getExe (package pkgs)} check -f ${self}/config/demo.yaml
          touch $out
        '';
      });
    };
}
