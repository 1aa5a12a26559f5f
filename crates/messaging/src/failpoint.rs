//! Points at which a test can make the process die, fail or wait: before and after a step that moves state from one place to
//! another. Only a build with the feature `failpoints` has them; without it a step is nothing but itself.
//! Whoever carries a step out names it; `armed` tells how a point is told what to do.

/// What a point that was told to fail answers: the step's own error says the same to its caller as a real one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failpoint {0}")]
pub struct Injected(String);

/// The step is about to be carried out.
///
/// # Errors
/// Where a test wants it so: the step must not be carried out then.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub async fn before(_step: &'static str) -> Result<(), Injected> {
    Ok(())
}

/// The step has been carried out, and nobody has been told.
///
/// # Errors
/// Where a test wants it so: whoever waits for the step is told that it failed.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub async fn after(_step: &'static str) -> Result<(), Injected> {
    Ok(())
}

#[cfg(feature = "failpoints")]
pub use armed::{after, before};

#[cfg(feature = "failpoints")]
pub mod armed {
    //! What a point does is said in the language of the crate `fail`, such as `3*off->1*return(kill)`: its `return` takes
    //! `kill` (SIGKILL), `error`, or `delay:MS` (milliseconds). At the start it is read from the variable FAILPOINTS.

    use std::collections::BTreeMap;
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::Injected;

    /// How often a point was come by, and how often it did something.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Hits {
        pub reached: u64,
        pub fired: u64,
    }

    static HITS: Mutex<BTreeMap<String, Hits>> = Mutex::new(BTreeMap::new());

    enum Act {
        Kill,
        Error,
        Delay(Duration),
    }

    /// See the function of the same name in builds without the feature.
    ///
    /// # Errors
    /// Where the point was told so.
    pub async fn before(step: &'static str) -> Result<(), Injected> {
        at(format!("{step}.before")).await
    }

    /// See the function of the same name in builds without the feature.
    ///
    /// # Errors
    /// Where the point was told so.
    pub async fn after(step: &'static str) -> Result<(), Injected> {
        at(format!("{step}.after")).await
    }

    async fn at(point: String) -> Result<(), Injected> {
        let act = evaluated(&point);
        note(&point, act.is_some());
        if act.is_some() {
            // For whoever finds the process ended.
            eprintln!("failpoint {point}: fired");
        }
        match act {
            None => Ok(()),
            Some(Act::Kill) => die(),
            Some(Act::Delay(wait)) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Some(Act::Error) => Err(Injected(point)),
        }
    }

    fn evaluated(point: &str) -> Option<Act> {
        fail::fail_point!(point, |argument| argument.as_deref().and_then(act));
        None
    }

    fn act(argument: &str) -> Option<Act> {
        match argument.split_once(':') {
            None if argument == "kill" => Some(Act::Kill),
            None if argument == "error" => Some(Act::Error),
            Some(("delay", ms)) => ms
                .parse()
                .ok()
                .map(|ms| Act::Delay(Duration::from_millis(ms))),
            _ => None,
        }
    }

    fn note(point: &str, fired: bool) {
        let mut hits = HITS.lock();
        let of_point = hits.entry(point.to_owned()).or_default();
        of_point.reached += 1;
        of_point.fired += u64::from(fired);
    }

    /// As the kernel's or an operator's kill -9: nothing of this process runs any more.
    fn die() -> ! {
        // SAFETY: a plain system call.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
        loop {
            std::thread::park();
        }
    }

    /// Tells a point what to do from now on, and forgets its hits; "off" tells it to do nothing.
    ///
    /// # Errors
    /// Text that is not of the language, or an argument of `return` that is none of the three.
    pub fn arm(point: &str, actions: &str) -> Result<(), String> {
        for argument in actions.split("return(").skip(1) {
            let argument = argument.split(')').next().unwrap_or_default();
            if act(argument).is_none() {
                return Err(format!(
                    "return({argument}): kill, error and delay:MS are known"
                ));
            }
        }
        HITS.lock().remove(point);
        fail::cfg(point, actions)
    }

    /// Every point that was come by since the start or since it was armed.
    #[must_use]
    pub fn hits() -> BTreeMap<String, Hits> {
        HITS.lock().clone()
    }

    /// Reads FAILPOINTS (`point=actions;...`). What it says holds until the process ends.
    pub fn arm_from_environment() {
        // The guard would disarm everything when it is dropped.
        std::mem::forget(fail::FailScenario::setup());
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test]
        async fn a_point_does_what_it_is_told_and_counts() {
            assert!(before("test.step").await.is_ok());
            arm("test.step.before", "1*off->1*return(error)->off").unwrap();
            assert!(before("test.step").await.is_ok());
            let failed = before("test.step").await.unwrap_err();
            assert_eq!(failed.to_string(), "failpoint test.step.before");
            assert!(before("test.step").await.is_ok());
            assert!(after("test.step").await.is_ok());
            let expected = Hits {
                reached: 3,
                fired: 1,
            };
            assert_eq!(hits()["test.step.before"], expected);
        }

        #[test]
        fn what_no_point_can_do_is_refused() {
            assert!(arm("test.refused", "return(delay:soon)").is_err());
            assert!(arm("test.refused", "1*return(die)->off").is_err());
            assert!(arm("test.refused", "sometimes").is_err());
            assert!(arm("test.refused", "5%return(delay:30)").is_ok());
        }
    }
}
