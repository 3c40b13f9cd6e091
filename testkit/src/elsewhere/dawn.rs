//! Dawn, the WebGPU of Chromium, as a process that is sent programs: scripts/dawn/serve.mjs.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{DispatchDescription, wgpu};

use super::program::{Buffer, Dispatch, Program};

pub struct Dawn {
    process: Child,
    to: ChildStdin,
    from: ChildStdout,
    /// Its adapter.
    pub adapter: String,
}

#[derive(Serialize)]
struct Request<'a> {
    buffers: Vec<Sent>,
    dispatches: &'a [Dispatch],
}

#[derive(Serialize)]
struct Sent {
    size: u64,
    /// Bytes of its contents, which follow; the rest is zero.
    contents: usize,
    /// Whether it is sent back.
    returned: bool,
}

#[derive(Deserialize)]
struct Reply {
    /// Its adapter, or what went wrong, if anything.
    text: String,
}

impl Dawn {
    /// Starts the process. `node` and the packages of scripts/dawn (`npm ci --prefix scripts/dawn`) must be there.
    pub fn start() -> io::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/dawn/serve.mjs");
        let mut process =
            Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (to, from) = process.stdin.take().zip(process.stdout.take()).expect("both are piped");
        let mut dawn = Self { process, to, from, adapter: String::new() };
        dawn.adapter = dawn.reply()?;
        Ok(dawn)
    }

    /// Runs dispatches of prepared steps, which this device does not run, and leaves in this device's buffers what they
    /// leave in Dawn's. The error is what Dawn says of them, or of its process.
    pub fn run(&mut self, gpu: &Gpu, dispatches: Vec<DispatchDescription>) -> io::Result<()> {
        let mut program = Program::new(gpu);
        program.add(dispatches, |_, source| source);
        let back: Vec<_> = program.buffers.iter().map(returned).collect();
        self.send(&program, &back)?;
        let error = self.reply()?;
        if !error.is_empty() {
            return Err(io::Error::other(error));
        }
        for handle in back.into_iter().flatten() {
            let mut bytes = vec![0; handle.size() as usize];
            self.from.read_exact(&mut bytes)?;
            gpu.queue.write_buffer(&handle, 0, &bytes);
        }
        Ok(())
    }

    fn send(&mut self, program: &Program, back: &[Option<wgpu::Buffer>]) -> io::Result<()> {
        let sent = program.buffers.iter().zip(back).map(|(buffer, returned)| Sent {
            size: buffer.size,
            contents: buffer.contents.len(),
            returned: returned.is_some(),
        });
        let json = serde_json::to_vec(&Request { buffers: sent.collect(), dispatches: &program.dispatches })?;
        self.to.write_all(&(json.len() as u32).to_le_bytes())?;
        self.to.write_all(&json)?;
        for buffer in &program.buffers {
            self.to.write_all(&buffer.contents)?;
        }
        self.to.flush()
    }

    fn reply(&mut self) -> io::Result<String> {
        let mut len = [0; 4];
        self.from.read_exact(&mut len)?;
        let mut json = vec![0; u32::from_le_bytes(len) as usize];
        self.from.read_exact(&mut json)?;
        Ok(serde_json::from_slice::<Reply>(&json)?.text)
    }
}

/// The buffer, where it can be written with what is sent back.
fn returned(buffer: &Buffer) -> Option<wgpu::Buffer> {
    let both = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    buffer.handle.clone().filter(|handle| handle.usage().contains(both))
}

impl Drop for Dawn {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
