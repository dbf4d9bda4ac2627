# services.voyandz of NixOS. The unit with its sandbox is the one of config/systemd, which the package installs.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.voyandz;
  yaml = pkgs.formats.yaml { };
  written = yaml.generate "voyandz-unchecked.yaml" cfg.settings;
  # A configuration with faults fails the build of the system, not the start of the service.
  checked =
    pkgs.runCommand "voyandz.yaml"
      {
        nativeBuildInputs = cfg.extraPackages;
      }
      ''
        export HOME=$TMPDIR
        ${lib.getExe cfg.package} check -f ${written}
        cp ${written} $out
      '';
  file = if cfg.configFile != null then cfg.configFile else checked;
in
{
  options.services.voyandz = {
    enable = lib.mkEnableOption "voyandz, a live audio/video server";

    package = lib.mkOption {
      type = lib.types.package;
      description = "The package that is run.";
    };

    settings = lib.mkOption {
      type = yaml.type;
      default = { };
      example = {
        feeds.card.pipeline = "v4l2src device=/dev/video0 ! queue name=video";
        streams."card.ts".feed = "card";
      };
      description = "The configuration, as voyandz.yaml(5) has it. It is checked when the system is built.";
    };

    configFile = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      description = "A configuration file in the place of `settings`. It is checked when the service starts.";
    };

    extraPackages = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [ ];
      description = "Packages whose programs the commands of feeds and streams use, such as ffmpeg.";
    };

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether the port of `settings.listenport` is open to other machines.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.configFile == null || cfg.settings == { };
        message = "services.voyandz: settings and configFile exclude each other.";
      }
    ];

    environment.systemPackages = [ cfg.package ];

    systemd.packages = [ cfg.package ];
    systemd.services.voyandz = {
      wantedBy = [ "multi-user.target" ];
      path = cfg.extraPackages;
      # A changed configuration is applied without a restart.
      reloadTriggers = [ file ];
      serviceConfig.ExecStart = [
        ""
        "${lib.getExe cfg.package} -f /etc/voyandz.yaml"
      ];
    };
    environment.etc."voyandz.yaml".source = file;

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [ (cfg.settings.listenport or 8090) ];
  };
}
