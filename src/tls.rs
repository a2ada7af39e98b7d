//! TLS on both ports, by the files that `listen.tls_cert` and `listen.tls_key` name; and how our own commands know that daemon again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};

use crate::config::Listen;

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The file has no such thing, or cannot be read.
    #[error("{key}: {path} cannot be used: {problem}; give a PEM file that this user may read")]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its contents.
        problem: String,
    },
    /// The two do not go together, or are of a kind that we do not speak.
    #[error(
        "listen.tls_cert {cert} and listen.tls_key {key} cannot be used together: {problem}; give a certificate and its own private key"
    )]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        problem: Error,
    },
    /// The settings of TLS itself.
    #[error("TLS cannot be set up")]
    Setup(#[source] Error),
}

/// How one of our commands knows its daemon.
pub(crate) type Trust = Arc<ClientConfig>;

/// How both ports speak; none where no certificate is configured. HTTP/1.1 alone.
pub(crate) fn server(listen: &Listen) -> Result<Option<ServerConfig>, TlsError> {
    let (Some(cert), Some(key)) = (&listen.tls_cert, &listen.tls_key) else { return Ok(None) };
    let chain = chain(cert)?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("listen.tls_key", key, error))?;
    let pair = |problem| TlsError::Pair { cert: cert.clone(), key: key.clone(), problem };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(config))
}

/// How our commands speak to the daemon of these settings; none where it has no TLS. They trust the certificate of the file and no
/// other, under whatever name they reach it: the file is more than an authority could say.
pub(crate) fn pinned(listen: &Listen) -> Result<Option<Trust>, TlsError> {
    let Some(cert) = &listen.tls_cert else { return Ok(None) };
    let first = chain(cert)?.into_iter().next();
    let expected = first.ok_or_else(|| unusable("listen.tls_cert", cert, pem::Error::NoItemsFound))?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { expected, provider }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |error| unusable("listen.tls_cert", path, error);
    let chain = CertificateDer::pem_file_iter(path).map_err(unusable)?.collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(unusable)?;
    if chain.is_empty() { Err(unusable(pem::Error::NoItemsFound)) } else { Ok(chain) }
}

fn unusable(key: &'static str, path: &Path, error: pem::Error) -> TlsError {
    let problem = if let pem::Error::Io(error) = error {
        error.to_string()
    } else if let pem::Error::NoItemsFound = error {
        if key == "listen.tls_cert" { "it has no certificate" } else { "it has no private key" }.to_owned()
    } else {
        // The others may quote the file.
        "it is not PEM".to_owned()
    };
    TlsError::File { key, path: path.to_owned(), problem }
}

/// Takes one certificate, whose key the other side must have.
#[derive(Debug)]
struct Pinned {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
