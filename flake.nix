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
      package = pkgs: pkgs.callPackage ./nix/package.nix { src = self; };
    in
    {
      packages = forAllSystems (pkgs: {
        default = package pkgs;
      });

      overlays.default = final: _: { voyandz = package final; };

      apps = forAllSystems (pkgs: {
        default = {
          type = "app";
          program = lib.getExe (package pkgs);
        };
      });

      nixosModules.default =
        { pkgs, ... }:
        {
          imports = [ ./nix/module.nix ];
          services.voyandz.package = lib.mkDefault (package pkgs);
        };

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
          GST_PLUGIN_SYSTEM_PATH_1_0 = (package pkgs).pluginPath;
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

      formatter = forAllSystems (pkgs: pkgs.nixfmt);
    };
}
