//! A baresip that answers and plays a file; it hangs up at the file's end.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    NUMBER, eventually,
    peers::{free_port, traces},
    ports::is_used,
    program::Owned,
    sound::{self, Part},
};

pub struct Telephone {
    _process: Owned,
    pub address: SocketAddr,
    dir: PathBuf,
}

impl Telephone {
    /// Says these parts in each call that it answers.
    pub async fn answering(parts: &[Part<'_>]) -> Telephone {
        let (dir, port) = (traces::folder("baresip"), free_port());
        // Its paths are relative: baresip cuts long ones off.
        sound::write(parts, &dir.join("mic.wav"));
        let config = format!(
            "net_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\n\
             module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aufile.so\nmodule sndfile.so\n\
             module_tmp account.so\nmodule_app menu.so\naudio_source aufile,./mic.wav\n\
             audio_player aufile,./heard.wav\nausrc_srate 8000\nauplay_srate 8000\nsnd_path .\n"
        );
        let account = format!(
            "<sip:{NUMBER}@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1;auth_pass=x\n"
        );
        for (name, text) in [("config", config.as_str()), ("accounts", account.as_str()), ("contacts", "")] {
            fs::write(dir.join(name), text).unwrap();
        }
        let log = File::create(dir.join("log")).unwrap();
        let mut command = Command::new("baresip");
        command.args(["-4", "-f", ".", "-s"]).current_dir(&dir).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        let child =
            child.unwrap_or_else(|e| panic!("baresip does not start ({e}): install the package `baresip`"));
        let telephone =
            Telephone { _process: Owned(child), address: (Ipv4Addr::LOCALHOST, port).into(), dir };
        eventually("baresip listens", || is_used(port)).await;
        telephone
    }

    /// Seconds of sound that came from the other side, over all calls.
    pub fn heard_seconds(&self) -> f64 {
        self.dumps().iter().map(|file| sound::heard_seconds(file)[0]).sum()
    }

    fn dumps(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).collect()
    }
}

/// A test that fails shows what its telephone saw.
impl Drop for Telephone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read(self.dir.join("log")).unwrap_or_default();
            let text = String::from_utf8_lossy(&log).chars().take(6_000).collect::<String>();
            eprintln!("--- baresip\n{text}");
        }
    }
}
