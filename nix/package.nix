# voyandz, with the GStreamer plugins that it is of use with.
{
  lib,
  rustPlatform,
  pkg-config,
  makeWrapper,
  installShellFiles,
  coreutils,
  gst_all_1,
  src,
}:
let
  manifest = (builtins.fromTOML (builtins.readFile ../Cargo.toml)).package;

  plugins = with gst_all_1; [
    gstreamer
    gst-plugins-base
    gst-plugins-good
    gst-plugins-bad
    gst-plugins-ugly
    gst-libav
  ];
  pluginPath = lib.makeSearchPath "lib/gstreamer-1.0" (map lib.getLib plugins);
in
rustPlatform.buildRustPackage {
  pname = manifest.name;
  inherit (manifest) version;
  inherit src;
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [
    pkg-config
    makeWrapper
    installShellFiles
  ];
  buildInputs = plugins;

  # The tests need players and a browser: ci/test runs them. Here, `checks.demo` tries the result.
  doCheck = false;

  # Workers inherit the variable. wrapGAppsHook would bring GTK along.
  postInstall = ''
    wrapProgram $out/bin/voyandz --prefix GST_PLUGIN_SYSTEM_PATH_1_0 : ${pluginPath}

    $out/bin/voyandz man 1 > voyandz.1
    $out/bin/voyandz man 5 > voyandz.yaml.5
    installManPage voyandz.1 voyandz.yaml.5
    for shell in bash zsh fish; do
      $out/bin/voyandz completions $shell > voyandz.$shell
    done
    installShellCompletion voyandz.bash voyandz.zsh voyandz.fish

    install -D -m 444 -t $out/lib/systemd/system config/systemd/voyandz.service config/systemd/voyandz.socket
    substituteInPlace $out/lib/systemd/system/voyandz.service \
      --replace-fail /usr/bin/voyandz $out/bin/voyandz \
      --replace-fail /bin/kill ${coreutils}/bin/kill
  '';

  passthru = { inherit pluginPath; };

  meta = {
    inherit (manifest) description;
    license = lib.licenses.mit;
    mainProgram = "voyandz";
    platforms = [
      "x86_64-linux"
      "aarch64-linux"
    ];
  };
}
